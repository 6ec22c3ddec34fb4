//! What `decap` leaves is what Wireshark sees inside the tunnel.

use crate::common::{Corpus, has, network, tshark_fields, write};
use std::path::Path;
use weir_compiler::NoFiles;
use weir_compiler::eval::Evaluator;

/// What tshark says of a frame.
struct Seen {
    /// Colon-separated, outermost first.
    protocols: String,
    /// Malformed, or with an IPv4 header whose checksum is wrong.
    bad: bool,
}

/// Of every frame of a capture.
fn seen(capture: &Path) -> Vec<Seen> {
    let fields = ["frame.protocols", "_ws.malformed", "ip.checksum.status"];
    let options = ["ip.check_checksum:TRUE", "ip.defragment:FALSE", "ipv6.defragment:FALSE"];
    let seen = |frame: Vec<String>| {
        let mut fields = frame.into_iter();
        let mut next = || fields.next().unwrap_or_default();
        let (protocols, malformed, checksums) = (next(), next(), next());
        Seen { protocols, bad: !malformed.is_empty() || checksums.split(',').any(|status| status == "0") }
    };
    tshark_fields(capture, &options, None, &fields).into_iter().map(seen).collect()
}

#[test]
fn what_leaves_is_what_the_tunnel_carried() {
    let test = "what_leaves_is_what_the_tunnel_carried";
    if !has("tshark", test) {
        return;
    }
    let corpus = Corpus::new(test);
    let analysis = weir_compiler::analyse("decap.weir", "decap off", &NoFiles);
    let mut evaluator = Evaluator::new(&analysis.policy);
    let left = corpus.frames.iter().enumerate();
    let left: Vec<_> = left.filter_map(|(at, frame)| Some((at, evaluator.judge(frame).frame?))).collect();
    let path = corpus.path().with_file_name("left.pcapng");
    write(&path, left.iter().map(|(_, frame)| frame.clone()));
    let (before, after) = (seen(&corpus.path()), seen(&path));
    assert_eq!((before.len(), after.len()), (corpus.frames.len(), left.len()));
    let mut sound = 0;
    for ((at, frame), after) in left.iter().zip(&after) {
        let before = &before[*at];
        let told =
            || format!("frame {}: {} left as {}, {frame:02x?}", at + 1, before.protocols, after.protocols);
        assert!(before.protocols.ends_with(network(&after.protocols)), "{}", told());
        assert!(before.bad || !after.bad, "{}", told());
        sound += usize::from(!after.bad);
    }
    // So many there are without real captures.
    assert!(sound >= 10, "{sound} frames of {} prove little", left.len());
    println!("{} of {} frames left a tunnel, {sound} of them sound", left.len(), corpus.frames.len());
}
