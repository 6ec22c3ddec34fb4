use crate::reloads::reload;
use crate::support::{Edge, packets, require_kernel};
use std::time::Duration;
use weir_compiler::ir::Verdict;
use weir_dataplane::{CapturedFrame, Error, Lifetime};

const POLICY: &str = "set blocked : ip max 10\ndrop blocked when ip.src in blocked\n\
    drop dns when udp.dstport == 53\npass web when udp.dstport == 80\n";

fn read(capture: &mut weir_dataplane::Capture) -> Vec<CapturedFrame> {
    let mut frames = Vec::new();
    while capture.read(Duration::from_millis(100), &mut |frame| frames.push(frame)).unwrap() > 0 {}
    frames
}

#[test]
fn frames_of_chosen_statements_and_no_trace_afterwards() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(POLICY);
    edge.send(53, 5);
    let mut capture = instance.capture(&["dns", "web"]).unwrap();
    assert_eq!(instance.status().unwrap().capturing, ["dns", "web"]);
    let before = weir_kernel::clock::monotonic_ns();
    edge.send(53, 20);
    edge.send(80, 10);
    edge.send(9, 10);
    let frames = read(&mut capture);
    let of = |name: &str| frames.iter().filter(|frame| frame.statement == name).count();
    assert_eq!((of("dns"), of("web"), frames.len()), (20, 10, 30));
    let verdicts =
        |frame: &CapturedFrame| if frame.statement == "dns" { Verdict::Drop } else { Verdict::Pass };
    assert!(frames.iter().all(|frame| frame.verdict == verdicts(frame)));
    let marks = frames.iter().map(|frame| weir_lab::wire::Mark::of(&frame.bytes).map(|mark| mark.sequence));
    assert_eq!(marks.take(20).collect::<Vec<_>>(), (0..20).map(Some).collect::<Vec<_>>());
    assert!(
        frames.iter().all(|frame| frame.length == 100 && frame.bytes.len() == 100 && frame.time > before)
    );
    assert_eq!(capture.lost().unwrap(), 0);

    // The variant counts and holds as the plain policy does, and sets may change meanwhile.
    let error = instance.capture(&["dns"]).unwrap_err();
    assert!(matches!(error, Error::Capturing { .. }), "{error}");
    instance.set("blocked").unwrap().add(&["10.1.0.2"], Lifetime::Forever).unwrap();
    edge.send(53, 3);
    assert_eq!((packets(&instance, "dns"), packets(&instance, "blocked")), (25, 3));
    capture.stop().unwrap();
    assert_eq!(edge.generations(), ["gen-1"]);
    edge.send(53, 3);
    assert_eq!((packets(&instance, "dns"), packets(&instance, "blocked")), (25, 6));
    assert_eq!(instance.status().unwrap().capturing, Vec::<String>::new());
}

#[test]
fn a_ring_that_nobody_reads_counts_what_it_loses() {
    require_kernel!();
    let edge = Edge::new();
    let (instance, _) = edge.load(POLICY);
    let mut capture = instance.capture(&["dns"]).unwrap();
    edge.send(53, 5000);
    let lost = capture.lost().unwrap();
    assert!(lost > 1000, "{lost}");
    assert_eq!(read(&mut capture).len() as u64 + lost, 5000);
    drop(capture);
    assert_eq!(instance.statistics().unwrap().captures_lost, 0, "the plain policy has no such statistic");
    assert_eq!(packets(&instance, "dns"), 5000);
}

#[test]
fn a_reload_ends_a_capture() {
    require_kernel!();
    let edge = Edge::new();
    let (mut instance, _) = edge.load(POLICY);
    let error = instance.capture(&["dn"]).unwrap_err();
    assert_eq!(error.to_string(), "the policy has no statement `dn`; there is `dns`");
    let mut capture = instance.capture(&["dns"]).unwrap();
    reload(&mut instance, "drop dns when udp.dstport == 53\n");
    let ended = capture.read(Duration::from_secs(5), &mut |_| ()).unwrap_err();
    assert!(matches!(ended, Error::CaptureEnded), "{ended}");
    drop(capture);
    assert_eq!(edge.generations(), ["gen-3"]);
    assert_eq!(instance.status().unwrap().capturing, Vec::<String>::new());
}
