//! The crate `sflow-parser` knows discarded packets, which tshark does not.

use sflow_parser::models::{DropReason, FlowData, SampleData};
use weir_detect::sflow::Encoder;

use super::common::{AGENT, datagram, frame};

#[test]
fn sflow_parser_reads_discarded_packets() {
    let bytes = datagram(Encoder::new(AGENT, 0));
    let datagram = sflow_parser::parse_datagram(&bytes).expect("is read");
    assert_eq!(datagram.samples.len(), 6);
    let SampleData::DiscardedPacket(found) = &datagram.samples[3].sample_data else {
        panic!("{:?}", datagram.samples[3])
    };
    let source = (found.source_id.source_id_type, found.source_id.source_id_index);
    assert_eq!((found.sequence_number, source, found.drops), (1, (0, 3), 9));
    assert_eq!((found.input_ifindex, found.output_ifindex, found.reason), (3, 0, DropReason::Acl));
    let [header, acl, decision] = &found.flow_records[..] else { panic!("{:?}", found.flow_records) };
    let FlowData::SampledHeader(header) = &header.flow_data else { panic!("{header:?}") };
    assert_eq!((header.frame_length, header.stripped), (904, 4));
    assert_eq!(header.header, frame(11211, 900)[..128]);
    let FlowData::ExtendedAcl(acl) = &acl.flow_data else { panic!("{acl:?}") };
    assert_eq!((acl.number, acl.name.as_str(), acl.direction), (0, "memcached", 1));
    let FlowData::Unknown { format, data } = &decision.flow_data else { panic!("{decision:?}") };
    assert_eq!((format.enterprise(), format.format(), &data[..]), (32473, 1, &1000_u32.to_be_bytes()[..]));
}
