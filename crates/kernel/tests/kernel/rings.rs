use std::time::Duration;

use weir_bpf::helpers;
use weir_bpf::map::{MapDef, MapKind, MapType};
use weir_kernel::rings::{PerfReader, RingReader};
use weir_kernel::run;

use crate::programs::{frame, reporting, try_load};
use crate::support::require_kernel;

const SOON: Duration = Duration::from_millis(1);

#[test]
fn a_ring_buffer_hands_over_each_record_once() {
    require_kernel!();
    let program = reporting(helpers::RINGBUF_OUTPUT, 4711);
    let loaded = try_load(vec![program], vec![MapDef::ring("events", 4096)]).unwrap();
    let mut reader = RingReader::open(loaded.map("events").unwrap()).unwrap();
    assert!(!reader.wait(SOON).unwrap());
    for _ in 0..3 {
        run::once(loaded.program("report").unwrap(), &frame(64, 0)).unwrap();
    }
    assert!(reader.wait(SOON).unwrap());
    let mut records = Vec::new();
    assert_eq!(reader.drain(|record| records.push(record.to_vec())), 3);
    assert_eq!(records, vec![4711u64.to_ne_bytes().to_vec(); 3]);
    assert_eq!(reader.drain(|_| panic!("no record is left")), 0);
}

#[test]
fn a_perf_event_array_is_read_on_all_cpus() {
    require_kernel!();
    let program = reporting(helpers::PERF_EVENT_OUTPUT, 4711);
    let events = MapDef::new("events", MapKind::PerfEventArray, MapType::U32, MapType::U32, 0);
    let loaded = try_load(vec![program], vec![events]).unwrap();
    let mut reader = PerfReader::open(loaded.map("events").unwrap(), 2).unwrap();
    for _ in 0..5 {
        run::once(loaded.program("report").unwrap(), &frame(64, 0)).unwrap();
    }
    assert!(reader.wait(SOON).unwrap());
    let mut sum = 0;
    let drained = reader.drain(|record| sum += u64::from_ne_bytes(record[..8].try_into().unwrap()));
    assert_eq!((drained.records, drained.lost, sum), (5, 0, 5 * 4711));
}
