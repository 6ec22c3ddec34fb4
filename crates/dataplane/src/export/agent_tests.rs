//! What an agent sends, read back by the decoder.

use super::*;
use crate::samples::Record;
use weir_compiler::ir::Verdict;
use weir_detect::sflow::{self, Counter, Datagram};

const FRAME: [u8; 128] = [7; 128];

fn agent(dropped: Dropped) -> Agent {
    let (address, counters) = (IpAddr::from([192, 0, 2, 1]), Duration::from_secs(20));
    Agent::new(Settings { address, dropped, counters, direction: Direction::Ingress })
}

fn ms(ms: u64) -> Duration {
    Duration::from_millis(ms)
}

fn sample(statement: &'static str, verdict: Verdict, pool: u64) -> Sample<'static> {
    let record = Record {
        time: 1,
        length: 1000,
        statement: 0,
        decider: 1,
        verdict,
        one_in: 100,
        interface: 3,
        cpu: 0,
        pool,
        lost: 2,
        bytes: &FRAME,
    };
    Sample { record, statement, decider: "big" }
}

/// Sends all that waits.
fn flushed(agent: &mut Agent, now: Duration) -> Vec<Vec<u8>> {
    let mut sent = Vec::new();
    agent.turn(now, &mut |datagram| sent.push(datagram.to_vec()));
    sent
}

#[test]
fn samples_wait_for_others_and_not_longer_than_half_a_second() {
    let mut agent = agent(Dropped::Flows);
    let none: &mut dyn FnMut(&[u8]) = &mut |_| panic!("too soon");
    agent.sample(ms(1000), &sample("all", Verdict::Pass, 100), none);
    agent.sample(ms(1400), &sample("all", Verdict::Drop, 200), none);
    agent.turn(ms(1499), none);
    let sent = flushed(&mut agent, ms(1500));
    let [datagram] = sent.as_slice() else { panic!("{}", sent.len()) };
    let datagram = Datagram::decode(datagram).unwrap();
    assert_eq!((datagram.sequence, datagram.sub_agent, datagram.uptime), (1, 0, ms(1500)));
    let flows: Vec<_> = datagram
        .records()
        .map(|record| match record {
            Ok(sflow::Record::Flow(flow)) => flow,
            other => panic!("{other:?}"),
        })
        .collect();
    let [passed, dropped] = flows.as_slice() else { panic!("{flows:?}") };
    assert_eq!((passed.one_in, passed.pool, passed.drops, passed.sequence), (100, 100, 2, 1));
    assert_eq!((dropped.pool, dropped.drops, dropped.sequence), (200, 2, 2));
    assert_eq!((passed.output, dropped.output.reason()), (Interface::UNKNOWN, Some(Reason::ACL)));
    let frame = passed.told.frame.unwrap();
    assert_eq!((frame.length, frame.stripped, frame.header), (1004, 4, &FRAME[..]));
    assert_eq!(dropped.told.acl.unwrap().name, "big");
    assert!(flushed(&mut agent, ms(9999)).is_empty(), "nothing waits");
}

#[test]
fn dropped_packets_are_discarded_packets_where_that_is_asked_for() {
    let mut agent = agent(Dropped::Discarded);
    agent.sample(ms(0), &sample("all", Verdict::Drop, 100), &mut |_| ());
    agent.sample(ms(0), &sample("all", Verdict::Pass, 200), &mut |_| ());
    let sent = flushed(&mut agent, ms(500));
    let mut records =
        Datagram::decode(&sent[0]).unwrap().records().map(Result::unwrap).collect::<Vec<_>>().into_iter();
    let Some(sflow::Record::Discarded(dropped)) = records.next() else { panic!("not a discarded packet") };
    assert_eq!((dropped.reason, dropped.input, dropped.told.acl.unwrap().name), (Reason::ACL, 3, "big"));
    assert!(matches!(records.next(), Some(sflow::Record::Flow(_))));
}

#[test]
fn each_statement_is_a_sender_with_a_pool_of_its_own() {
    let mut agent = agent(Dropped::Flows);
    agent.sample(ms(0), &sample("all", Verdict::Pass, 1000), &mut |_| ());
    agent.sample(ms(0), &sample("dns", Verdict::Pass, 10), &mut |_| ());
    let sent = flushed(&mut agent, ms(500));
    let pool = |datagram: &[u8]| {
        let datagram = Datagram::decode(datagram).unwrap();
        match datagram.records().next() {
            Some(Ok(sflow::Record::Flow(flow))) => (datagram.sub_agent, flow.sequence, flow.pool),
            other => panic!("{other:?}"),
        }
    };
    assert_eq!(sent.iter().map(|sent| pool(sent)).collect::<Vec<_>>(), [(0, 1, 1000), (1, 1, 10)]);
}

#[test]
fn counters_come_at_once_and_then_every_so_often() {
    let mut agent = agent(Dropped::Flows);
    let interfaces = vec![InterfaceCounters { index: 3, kind: 6, ..InterfaceCounters::default() }];
    let counted = Counted { interfaces, statements: vec![("big".into(), 5, 6), ("default".into(), 7, 8)] };
    assert!(agent.wants_counters(ms(0)));
    agent.counted(ms(10), &counted, &mut |_| ());
    assert!(!agent.wants_counters(ms(20_009)) && agent.wants_counters(ms(20_010)));
    agent.not_counted(ms(20_010));
    assert!(!agent.wants_counters(ms(40_009)) && agent.wants_counters(ms(40_010)));
    let sent = flushed(&mut agent, ms(510));
    let records: Vec<_> = Datagram::decode(&sent[0])
        .unwrap()
        .records()
        .flat_map(|record| match record {
            Ok(sflow::Record::Counters(counters)) => {
                counters.records().map(Result::unwrap).collect::<Vec<_>>()
            }
            other => panic!("{other:?}"),
        })
        .collect();
    let statement = |name, packets, bytes| Counter::Statement(StatementCounters { name, packets, bytes });
    assert_eq!(records[1..], [statement("big", 5, 6), statement("default", 7, 8)]);
    assert!(matches!(records[0], Counter::Interface(InterfaceCounters { index: 3, kind: 6, .. })));
}

#[test]
fn full_datagrams_go_at_once_and_none_is_too_long() {
    let mut agent = agent(Dropped::Flows);
    let mut sent: Vec<Vec<u8>> = Vec::new();
    for pool in 0..100 {
        agent
            .sample(ms(0), &sample("all", Verdict::Pass, pool), &mut |datagram| sent.push(datagram.to_vec()));
    }
    agent.finish(ms(0), &mut |datagram| sent.push(datagram.to_vec()));
    let counts = sent.iter().map(|datagram| Datagram::decode(datagram).unwrap().count);
    assert_eq!((counts.sum::<u32>(), agent.refused()), (100, 0));
    assert!(sent.iter().all(|datagram| datagram.len() <= 1400) && sent.len() > 10);
}

#[test]
fn what_goes_out_has_an_output_and_no_input() {
    let address = IpAddr::from([192, 0, 2, 1]);
    let (dropped, counters) = (Dropped::Flows, Duration::from_secs(20));
    let mut agent = Agent::new(Settings { address, dropped, counters, direction: Direction::Egress });
    agent.sample(ms(0), &sample("all", Verdict::Pass, 100), &mut |_| ());
    agent.sample(ms(0), &sample("all", Verdict::Drop, 200), &mut |_| ());
    let sent = flushed(&mut agent, ms(500));
    let sides = Datagram::decode(&sent[0]).unwrap().records().map(|record| match record.unwrap() {
        sflow::Record::Flow(flow) => (flow.source, flow.input, flow.output, flow.told.acl.unwrap().direction),
        other => panic!("{other:?}"),
    });
    let egress = |output| (Source::interface(3), Interface::UNKNOWN, output, Direction::Egress);
    let wanted = [egress(Interface::index(3)), egress(Interface::discarded(Reason::ACL))];
    assert_eq!(sides.collect::<Vec<_>>(), wanted);
}
