//! Any bytes as a capture: reading ends, frames are bounded and can be shown, and what was read is
//! the same once written as pcapng and read again.
#![no_main]

use libfuzzer_sys::fuzz_target;
use std::io::Cursor;
use weir_packet::capture::{
    Capture, CaptureError, Frame, MAX_FRAME, PcapWriter, PcapngWriter, Resolution, WriteError,
};
use weir_packet::{checksum, layers::Layers, view::View};

fuzz_target!(|data: &[u8]| {
    let read = read(data);
    // No record of either format is shorter than 16 bytes; the last result may be an error.
    assert!(read.len() <= data.len() / 16 + 1, "more frames than bytes for them");
    let frames: Vec<Frame> = read.into_iter().filter_map(Result::ok).collect();
    frames.iter().for_each(look_at);
    assert_same(&frames, pcapng(&frames));
    let nameless = frames.iter().map(|frame| Frame { interface: None, comment: None, ..frame.clone() });
    let alike = |frame: &Frame| frame.link == frames[0].link && frame.timestamp_ns >> 32 < 1_000_000_000;
    let nameless: Vec<Frame> = nameless.filter(alike).collect();
    assert_same(&nameless, pcap(&nameless));
});

fn read(data: &[u8]) -> Vec<Result<Frame, CaptureError>> {
    Capture::read(Cursor::new(data.to_vec())).map_or_else(|error| vec![Err(error)], Iterator::collect)
}

fn look_at(frame: &Frame) {
    assert!(frame.data.len() <= MAX_FRAME as usize);
    let Ok(ethernet) = frame.to_ethernet() else { return };
    let _ = (View(&ethernet).to_string(), Layers::of(&ethernet), checksum::verify(&ethernet));
}

fn assert_same(frames: &[Frame], written: Result<Vec<u8>, WriteError>) {
    let back = match written {
        Ok(bytes) => read(&bytes),
        // Bytes that are no UTF-8 grow where they are replaced.
        Err(WriteError::OptionTooLong { .. } | WriteError::Link(_)) => return,
        Err(error) => panic!("{error}"),
    };
    assert_eq!(frames.len(), back.len());
    for ((frame, number), back) in frames.iter().zip(1..).zip(back) {
        // An empty name is none.
        let interface = frame.interface.clone().filter(|name| !name.is_empty());
        assert_eq!(Frame { number, interface, ..frame.clone() }, back.expect("reads back"));
    }
}

/// Every frame on an interface of its own.
fn pcapng(frames: &[Frame]) -> Result<Vec<u8>, WriteError> {
    let mut writer = PcapngWriter::new(Vec::new())?;
    for frame in frames {
        let interface = writer.interface(frame.interface.as_deref().unwrap_or_default(), frame.link)?;
        writer.frame(interface, frame)?;
    }
    writer.finish()
}

fn pcap(frames: &[Frame]) -> Result<Vec<u8>, WriteError> {
    let Some(first) = frames.first() else { return pcapng(frames) };
    let mut writer = PcapWriter::new(Vec::new(), first.link, Resolution::Nano)?;
    frames.iter().try_for_each(|frame| writer.frame(frame))?;
    writer.finish()
}
