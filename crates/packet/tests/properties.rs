//! What holds for any bytes.

use std::io::Cursor;

use proptest::prelude::*;
use weir_packet::build::{Ethernet, Ipv4, Ipv6, Packet, Tcp, TcpFlags, Udp, Vlan};
use weir_packet::capture::{Capture, CaptureError, Frame, LinkType, PcapWriter, PcapngWriter, Resolution};
use weir_packet::checksum::{Checksums, State, Sum, fix_checksums, internet, update, update_bytes, verify};
use weir_packet::layers::Layers;
use weir_packet::view::View;

fn bytes(max: usize) -> impl Strategy<Value = Vec<u8>> {
    prop::collection::vec(any::<u8>(), 0..max)
}

fn frame() -> impl Strategy<Value = Frame> {
    let link = prop::sample::select(vec![
        LinkType::Ethernet,
        LinkType::RawIp,
        LinkType::LinuxSll2,
        LinkType::Other(147),
    ]);
    (0..u64::from(u32::MAX) * 1_000_000_000, link, bytes(200), any::<u32>(), prop::option::of(".{0,20}"))
        .prop_map(|(timestamp_ns, link, data, original_len, comment)| Frame {
            link,
            original_len,
            comment: comment.map(|text| text.trim_end_matches('\0').to_owned()),
            ..Frame::ethernet(timestamp_ns, data)
        })
}

/// A frame that looks right, so that the deep branches are reached, and then has some bytes broken.
fn almost_right() -> impl Strategy<Value = Vec<u8>> {
    let bend = prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 0..4);
    (0..4_usize, bytes(64), bend, any::<prop::sample::Index>()).prop_map(|(kind, payload, bend, cut)| {
        let eth = Packet::new().push(Ethernet::default());
        let packet = match kind {
            0 => eth.push(Ipv4::new([10, 0, 0, 1], [10, 0, 0, 2])).push(Udp::new(1, 4789)),
            1 => eth.push(Vlan::new(3)).push(Ipv4::new([1, 1, 1, 1], [2, 2, 2, 2]).protocol(47)),
            2 => eth.push(Ipv6::new([1; 8], [2; 8]).protocol(0)),
            _ => eth.push(Ipv6::new([1; 8], [2; 8])).push(Tcp::new(1, 2)),
        };
        let mut frame = packet.payload(payload).build();
        for (at, value) in bend {
            let at = at.index(frame.len());
            frame[at] = value;
        }
        frame.truncate(cut.index(frame.len() * 4).max(14));
        frame
    })
}

fn read(bytes: Vec<u8>) -> Vec<Result<Frame, CaptureError>> {
    Capture::read(Cursor::new(bytes)).map_or_else(|error| vec![Err(error)], |reader| reader.collect())
}

fn whole(state: Checksums) -> bool {
    [state.ipv4, state.transport].iter().all(|state| !matches!(state, State::Bad { .. }))
}

proptest! {
    #![proptest_config(ProptestConfig { cases: 2000, failure_persistence: None, ..ProptestConfig::default() })]

    #[test]
    fn any_bytes_can_be_shown_and_judged(frame in bytes(300)) {
        let _ = View(&frame).to_string();
        let _ = (Layers::of(&frame), verify(&frame));
    }

    #[test]
    fn broken_frames_can_be_shown_judged_and_repaired(frame in almost_right()) {
        let _ = View(&frame).to_string();
        let mut repaired = frame.clone();
        prop_assert_eq!(fix_checksums(&mut repaired), verify(&frame));
        prop_assert!(whole(verify(&repaired)), "{:?}", verify(&repaired));
        prop_assert_eq!(frame.len(), repaired.len());
    }

    #[test]
    fn any_frame_has_an_ethernet_form_or_a_reason(data in bytes(80), number in 0_u32..300) {
        let frame = Frame { link: LinkType::from_number(number), ..Frame::ethernet(0, data) };
        match frame.to_ethernet() {
            Ok(ethernet) => prop_assert!(ethernet.ends_with(&frame.data) || ethernet.len() >= 14),
            Err(reason) => prop_assert!(!reason.to_string().is_empty()),
        }
    }

    #[test]
    fn any_file_is_read_or_refused(start in 0..7_usize, rest in bytes(400)) {
        let magic: [&[u8]; 7] = [
            &[], &[0xd4, 0xc3, 0xb2, 0xa1], &[0xa1, 0xb2, 0xc3, 0xd4], &[0x4d, 0x3c, 0xb2, 0xa1],
            &[0x0a, 0x0d, 0x0d, 0x0a, 28, 0, 0, 0, 0x4d, 0x3c, 0x2b, 0x1a, 1, 0, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 28, 0, 0, 0],
            &[0x0a, 0x0d, 0x0d, 0x0a, 0, 0, 0, 28, 0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255, 0, 0, 0, 28],
            &[0x0a, 0x0d, 0x0d, 0x0a],
        ];
        read([magic[start], &rest].concat());
    }

    #[test]
    fn a_bent_pcapng_is_read_or_refused(frames in prop::collection::vec(frame(), 1..4), at in any::<prop::sample::Index>(), value: u8) {
        let mut file = pcapng(&frames);
        let at = at.index(file.len());
        file[at] = value;
        prop_assert!(read(file).len() <= frames.len() + 1);
    }

    #[test]
    fn what_pcapng_writes_reads_back(frames in prop::collection::vec(frame(), 0..6)) {
        let back: Result<Vec<_>, _> = read(pcapng(&frames)).into_iter().collect();
        let back = back.map_err(|error| TestCaseError::fail(error.to_string()))?;
        prop_assert_eq!(back.len(), frames.len());
        for (index, (back, frame)) in back.into_iter().zip(frames).enumerate() {
            let name = Some(format!("if{index}").into());
            prop_assert_eq!(back, Frame { number: index as u64 + 1, interface: name, ..frame });
        }
    }

    #[test]
    fn what_pcap_writes_reads_back(frames in prop::collection::vec(frame(), 0..6)) {
        let mut writer = PcapWriter::new(Vec::new(), LinkType::Ethernet, Resolution::Nano).unwrap();
        let frames: Vec<_> = frames
            .into_iter()
            .map(|frame| Frame { link: LinkType::Ethernet, comment: None, ..frame })
            .collect();
        for frame in &frames {
            writer.frame(frame).unwrap();
        }
        for (index, (back, frame)) in read(writer.finish().unwrap()).into_iter().zip(frames).enumerate() {
            let back = back.map_err(|error| TestCaseError::fail(error.to_string()))?;
            prop_assert_eq!(back, Frame { number: index as u64 + 1, ..frame });
        }
    }

    #[test]
    fn a_cut_file_gives_what_is_whole_and_then_says_where_it_ends(
        frames in prop::collection::vec(frame(), 1..5),
        cut in any::<prop::sample::Index>(),
    ) {
        let file = pcapng(&frames);
        let cut = cut.index(file.len());
        let mut results = read(file[..cut].to_vec());
        let last = results.pop();
        prop_assert!(results.iter().all(Result::is_ok));
        match last {
            Some(Err(CaptureError::Truncated { frame, offset, .. })) => {
                prop_assert!(frame == results.len() as u64 + 1 || frame == 0);
                prop_assert!(offset <= cut as u64);
            }
            // Cut between two blocks: nothing is missing that the file promised.
            Some(Ok(_)) | None => {}
            Some(Err(other)) => prop_assert!(false, "{other}"),
        }
    }

    #[test]
    fn updating_is_as_good_as_summing_anew(mut data in prop::collection::vec(any::<u8>(), 40), word: u16, long: [u8; 16]) {
        // A word that never changes keeps the sum from being zero, which has two forms.
        data[0] = 0x45;
        let before = internet(&data);
        let old = u16::from_be_bytes([data[2], data[3]]);
        data[2..4].copy_from_slice(&word.to_be_bytes());
        prop_assert_eq!(update(before, old, word), internet(&data));
        let before = internet(&data);
        let old = data[8..24].to_vec();
        data[8..24].copy_from_slice(&long);
        prop_assert_eq!(update_bytes(before, &old, &long), internet(&data));
        prop_assert_eq!(Sum::default().bytes(&data[..20]).bytes(&data[20..]).checksum(), internet(&data));
    }

    #[test]
    fn what_is_built_is_right(payload in bytes(200), ports: (u16, u16), v6: bool, flags: u16) {
        let eth = Packet::new().push(Ethernet::default());
        let ip = if v6 { eth.push(Ipv6::new([1; 8], [2; 8])) } else { eth.push(Ipv4::new([1, 2, 3, 4], [5, 6, 7, 8])) };
        let udp = ip.clone().push(Udp::new(ports.0, ports.1)).payload(&payload).build();
        let tcp = ip.push(Tcp::new(ports.0, ports.1).flags(TcpFlags::from_bits(flags))).payload(&payload).build();
        for frame in [udp, tcp] {
            let state = verify(&frame);
            prop_assert_eq!(state.transport, State::Good);
            prop_assert!(whole(state));
        }
    }
}

/// Every frame on an interface of its own.
fn pcapng(frames: &[Frame]) -> Vec<u8> {
    let mut writer = PcapngWriter::new(Vec::new()).unwrap();
    for (index, frame) in frames.iter().enumerate() {
        let interface = writer.interface(&format!("if{index}"), frame.link).unwrap();
        writer.frame(interface, frame).unwrap();
    }
    writer.finish().unwrap()
}
