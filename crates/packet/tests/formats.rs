//! Kinds of files that are rare, byte for byte, and what is said about broken ones.

use std::io::Cursor;

use weir_packet::capture::{Capture, CaptureError, Frame, LinkType, NotEthernet};

fn read(bytes: &[u8]) -> Result<Vec<Frame>, CaptureError> {
    Capture::read(Cursor::new(bytes.to_vec()))?.collect()
}

/// A block in big-endian order.
fn block(kind: u32, body: &[u8]) -> Vec<u8> {
    let mut body = body.to_vec();
    body.resize(body.len().next_multiple_of(4), 0);
    let length = (body.len() as u32 + 12).to_be_bytes();
    [&kind.to_be_bytes()[..], &length, &body, &length].concat()
}

fn section() -> Vec<u8> {
    let body = [0x1a, 0x2b, 0x3c, 0x4d, 0, 1, 0, 0, 255, 255, 255, 255, 255, 255, 255, 255];
    block(0x0a0d_0d0a, &body)
}

/// Raw IP, cut at `snaplen`, milliseconds, one hour ahead.
fn interface(snaplen: u8) -> Vec<u8> {
    let mut body = vec![0, 101, 0, 0, 0, 0, 0, snaplen];
    body.extend_from_slice(&[0, 2, 0, 3, b't', b'u', b'n', 0]);
    body.extend_from_slice(&[0, 9, 0, 1, 3, 0, 0, 0]);
    body.extend_from_slice(&[0, 14, 0, 8, 0, 0, 0, 0, 0, 0, 0x0e, 0x10]);
    body.extend_from_slice(&[0, 0, 0, 0]);
    block(1, &body)
}

#[test]
fn big_endian_sections_keep_their_options() {
    let packet = [
        0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 9, 1, 2, 3, 0, 0, 1, 0, 2, b'h', b'i', 0, 0,
    ];
    let file = [section(), interface(0), block(6, &packet)].concat();
    let frames = read(&file).expect("reads");
    assert_eq!(frames.len(), 1);
    assert_eq!(frames[0].timestamp_ns, 3_600_005_000_000);
    assert_eq!(frames[0].data, [1, 2, 3]);
    assert_eq!(frames[0].original_len, 9);
    assert_eq!(frames[0].link, LinkType::RawIp);
    assert_eq!(frames[0].interface.as_deref(), Some("tun"));
    assert_eq!(frames[0].comment.as_deref(), Some("hi"));
    assert!(frames[0].is_cut());
}

#[test]
fn obsolete_packets_and_unknown_blocks() {
    let packet = [0, 0, 0, 1, 0, 0, 0, 0, 0, 0, 0, 5, 0, 0, 0, 3, 0, 0, 0, 3, 1, 2, 3, 0];
    let file = [section(), block(0x0bad, &[7; 64]), interface(0), block(2, &packet), block(5, &[])].concat();
    let frames = read(&file).expect("reads");
    assert_eq!((frames.len(), frames[0].data.as_slice()), (1, &[1, 2, 3][..]));
}

#[test]
fn a_simple_packet_is_cut_by_its_interface_and_not_filled_with_padding() {
    let packet = [0, 0, 0, 9, 1, 2, 3, 4, 5, 0, 0, 0];
    let frames = read(&[section(), interface(5), block(3, &packet)].concat()).expect("reads");
    assert_eq!(frames[0].data, [1, 2, 3, 4, 5]);
    assert_eq!(frames[0].original_len, 9);
}

#[test]
fn a_new_section_forgets_interfaces() {
    let packet = [0, 0, 0, 3, 1, 2, 3, 0];
    let file = [section(), interface(0), section(), block(3, &packet)].concat();
    let error = read(&file).expect_err("no interface").to_string();
    assert!(
        error.starts_with(
            "a packet names an interface that its section does not describe, near frame 1 at byte"
        ),
        "{error}"
    );
}

#[test]
fn errors_name_frame_and_byte() {
    let header = [0xa1, 0xb2, 0xc3, 0xd4, 0, 2, 0, 4, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 0, 64, 0, 0, 0, 1];
    let record = |length: [u8; 4]| [[0; 8].as_slice(), &length, &[0, 0, 0, 4], &[9; 4]].concat();
    let cut = [&header[..], &record([0, 0, 0, 4]), &record([0, 0, 0, 5])].concat();
    let results: Vec<_> = Capture::read(Cursor::new(cut)).expect("opens").collect();
    assert!(results[0].is_ok());
    assert_eq!(
        results[1].as_ref().expect_err("cut").to_string(),
        "the file ends in the data of frame 2 at byte 44: 4 of 5 bytes are there"
    );
    assert_eq!(results.len(), 2);
    let greedy = [&header[..], &record([0x7f, 0xff, 0xff, 0xff])].concat();
    assert_eq!(
        read(&greedy).expect_err("greedy").to_string(),
        "the record of frame 1 at byte 24 claims 2147483647 bytes, the limit is 262144"
    );
}

#[test]
fn other_files_are_named() {
    let error = |bytes: &[u8]| read(bytes).expect_err("refused").to_string();
    assert_eq!(error(b"#!/bin/sh"), "neither pcap nor pcapng: the file starts with `23 21 2f 62`");
    assert_eq!(
        error(&[0x1f, 0x8b, 8, 0]),
        "a gzip file is not read: convert it with `editcap -F pcapng IN OUT`"
    );
    assert_eq!(error(b"ab"), "the file ends in the magic number at byte 0: 2 of 4 bytes are there");
}

#[test]
fn links_without_ethernet() {
    let frame = |number: u32, data: &[u8]| Frame {
        link: LinkType::from_number(number),
        ..Frame::ethernet(0, data.to_vec())
    };
    let with = |number, data: &[u8]| frame(number, data).to_ethernet().map(|bytes| bytes[6..].to_vec());
    let zero = [0; 6];
    assert_eq!(with(101, &[0x45, 1]), Ok([&zero[..], &[8, 0, 0x45, 1]].concat()));
    assert_eq!(with(229, &[0x60]), Ok([&zero[..], &[0x86, 0xdd, 0x60]].concat()));
    assert_eq!(with(0, &[2, 0, 0, 0, 0x45]), Ok([&zero[..], &[8, 0, 0x45]].concat()));
    assert_eq!(with(0, &[30, 0, 0, 0, 0x60]), Ok([&zero[..], &[0x86, 0xdd, 0x60]].concat()));
    assert_eq!(with(108, &[0, 0, 0, 24, 0x60]), Ok([&zero[..], &[0x86, 0xdd, 0x60]].concat()));
    let sll = [0, 0, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 8, 0, 0x45];
    assert_eq!(with(113, &sll), Ok(vec![1, 2, 3, 4, 5, 6, 8, 0, 0x45]));
    let sll2 = [8, 0, 0, 0, 0, 0, 0, 1, 0, 1, 0, 6, 1, 2, 3, 4, 5, 6, 0, 0, 0x45];
    assert_eq!(with(276, &sll2), Ok(vec![1, 2, 3, 4, 5, 6, 8, 0, 0x45]));
    assert_eq!(with(101, &[0x55]), Err(NotEthernet::IpVersion(5)));
    assert_eq!(
        frame(105, &[]).to_ethernet().expect_err("wlan").to_string(),
        "no ethernet form for link type 105 (IEEE802_11)"
    );
}
