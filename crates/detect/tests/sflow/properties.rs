//! What holds for any samples and any bytes.

use std::net::IpAddr;
use std::time::Duration;

use proptest::prelude::*;
use weir_detect::sample::{Fate, Sample};
use weir_detect::sflow::{
    Acl, Counter, Datagram, Direction, Discard, Discarded, Encoder, Flow, Form, Frame, Interface,
    InterfaceCounters, Malformed, Reason, Received, Record, Sent, Source, StatementCounters, Taken, Tally,
    Told, samples,
};

const HEADER: usize = 96;

/// What an encoder can be asked for.
#[derive(Clone, Debug)]
enum Item {
    Flow(Taken, Owned),
    Discarded(Discard, Owned),
    Interface(Source, InterfaceCounters),
    Statement(Source, String, u64, u64),
}

/// A sample that owns its bytes.
#[derive(Clone, Debug)]
struct Owned {
    header: Vec<u8>,
    frame_len: u32,
    one_in: u32,
    fate: Fate,
    statement: Option<String>,
}

impl Owned {
    fn borrow(&self) -> Sample<'_> {
        Sample {
            time: Duration::ZERO,
            header: &self.header,
            frame_len: self.frame_len,
            one_in: self.one_in,
            fate: self.fate,
            statement: self.statement.as_deref(),
        }
    }

    fn told(&self, direction: Direction, decision: bool) -> Told<'_> {
        let header = &self.header[..self.header.len().min(HEADER)];
        Told {
            frame: Some(Frame { protocol: 1, length: self.frame_len + 4, stripped: 4, header }),
            acl: self.statement.as_deref().map(|name| Acl { number: 0, name, direction }),
            one_in: decision.then_some(self.one_in),
            skipped: 0,
        }
    }
}

fn owned() -> impl Strategy<Value = Owned> {
    let fate = prop::sample::select(vec![Fate::Passed, Fate::Dropped]);
    let header = prop::collection::vec(any::<u8>(), 0..120);
    (header, 0_u32..9000, 1..=u32::MAX, fate, prop::option::of("\\PC{0,12}")).prop_map(
        |(header, more, one_in, fate, statement)| {
            let frame_len = header.len() as u32 + more;
            Owned { header, frame_len, one_in, fate, statement }
        },
    )
}

/// Few of them, so that sequences go on.
fn source() -> impl Strategy<Value = Source> {
    (0..2_u32, 1..3_u32).prop_map(|(kind, index)| Source { kind, index })
}

fn direction() -> impl Strategy<Value = Direction> {
    prop::sample::select(vec![Direction::Unknown, Direction::Ingress, Direction::Egress])
}

fn interface() -> impl Strategy<Value = Interface> {
    (0..4_u32, 0..1_u32 << 30).prop_map(|(format, value)| Interface { format, value })
}

fn counters() -> impl Strategy<Value = InterfaceCounters> {
    (any::<[u64; 3]>(), any::<[u32; 16]>()).prop_map(|([speed, received, sent], words)| {
        let [index, kind, direction, status, promiscuous, a, b, c, d, e, f, g, h, i, j, k] = words;
        let input = Received {
            octets: received,
            unicast: a,
            multicast: b,
            broadcast: c,
            discards: d,
            errors: e,
            unknown_protocols: f,
        };
        let output = Sent { octets: sent, unicast: g, multicast: h, broadcast: i, discards: j, errors: k };
        InterfaceCounters { index, kind, speed, direction, status, input, output, promiscuous }
    })
}

fn item() -> impl Strategy<Value = Item> {
    let side = || interface();
    let taken = (source(), any::<[u32; 2]>(), side(), side(), direction());
    let taken = taken.prop_map(|(source, [pool, drops], input, output, direction)| {
        // An output of a frame that passed is no reason of a drop.
        let output = if output.format == 1 { Interface::UNKNOWN } else { output };
        Taken { source, pool, drops, input, output, direction }
    });
    let discard = (source(), any::<[u32; 4]>(), direction()).prop_map(|(source, words, direction)| {
        let [drops, input, output, reason] = words;
        Discard { source, drops, input, output, reason: Reason(reason), direction }
    });
    prop_oneof![
        (taken, owned()).prop_map(|(taken, sample)| Item::Flow(taken, sample)),
        (discard, owned()).prop_map(|(discard, sample)| Item::Discarded(discard, sample)),
        (source(), counters()).prop_map(|(source, counters)| Item::Interface(source, counters)),
        (source(), "\\PC{0,12}", any::<[u64; 2]>())
            .prop_map(|(source, name, [packets, bytes])| Item::Statement(source, name, packets, bytes)),
    ]
}

#[derive(Clone, Copy, Debug)]
struct Settings {
    agent: IpAddr,
    sub_agent: u32,
    form: Form,
    max: usize,
}

fn settings() -> impl Strategy<Value = Settings> {
    let form = prop::sample::select(vec![Form::Compact, Form::Expanded]);
    (any::<IpAddr>(), any::<u32>(), form, 320_usize..2000)
        .prop_map(|(agent, sub_agent, form, max)| Settings { agent, sub_agent, form, max })
}

fn encode(settings: Settings, items: &[Item]) -> Vec<Vec<u8>> {
    let Settings { agent, sub_agent, form, max } = settings;
    let mut encoder = Encoder::new(agent, sub_agent).form(form).max(max).header(HEADER);
    let mut datagrams = Vec::new();
    for (item, at) in items.iter().zip(1..) {
        let uptime = Duration::from_millis(at);
        let full = match item {
            Item::Flow(taken, sample) => encoder.flow(uptime, taken, &sample.borrow()),
            Item::Discarded(discard, sample) => encoder.discarded(uptime, discard, &sample.borrow()),
            Item::Interface(source, counters) => encoder.interface(uptime, *source, counters),
            Item::Statement(source, name, packets, bytes) => {
                let counters = StatementCounters { name, packets: *packets, bytes: *bytes };
                encoder.statement(uptime, *source, &counters)
            }
        };
        datagrams.extend(full.expect("fits").map(<[u8]>::to_vec));
    }
    datagrams.extend(encoder.finish(Duration::from_millis(u64::MAX / 2)).map(<[u8]>::to_vec));
    datagrams
}

fn records(bytes: &[u8]) -> Vec<Result<Record<'_>, Malformed>> {
    match Datagram::decode(bytes) {
        Ok(datagram) => datagram.records().collect(),
        Err(error) => vec![Err(error)],
    }
}

/// Asks for everything that can be read; frames and names are parts of the datagram by their lifetime.
fn look_at(bytes: &[u8]) {
    let mut tally = Tally::default();
    let outcome = samples(bytes, Duration::ZERO, &mut tally, |sample| {
        assert!(sample.header.len() <= bytes.len() && sample.one_in > 0);
        assert!(sample.frame_len as usize >= sample.header.len());
    });
    assert_eq!(tally.malformed, u64::from(outcome.is_err()));
    for record in records(bytes) {
        match record {
            Err(Malformed::Short { offset, needs, left, .. }) => {
                assert!(offset + left <= bytes.len() && needs > left as u64);
            }
            Ok(Record::Counters(counters)) => assert!(counters.records().count() <= bytes.len() / 8 + 1),
            Ok(_) | Err(_) => {}
        }
    }
}

/// Compares what was read with what was asked for, and counts along.
fn assert_same(datagrams: &[Vec<u8>], settings: Settings, items: &[Item]) {
    let mut sequences = std::collections::HashMap::new();
    let mut next = |kind: u32, source: Source| {
        let last: &mut u32 = sequences.entry((kind, source)).or_default();
        *last += 1;
        *last
    };
    let mut items = items.iter().peekable();
    for (bytes, number) in datagrams.iter().zip(1..) {
        assert!(bytes.len() <= settings.max && bytes.len() % 4 == 0);
        let datagram = Datagram::decode(bytes).expect("a head");
        assert_eq!((datagram.agent, datagram.sub_agent), (Some(settings.agent), settings.sub_agent));
        assert_eq!(datagram.sequence, number);
        assert_eq!(datagram.count as usize, datagram.records().count());
        for record in datagram.records() {
            match (record.expect("a record"), items.next().expect("an item")) {
                (Record::Flow(flow), Item::Flow(taken, sample)) => {
                    let output = match sample.fate {
                        Fate::Passed => taken.output,
                        Fate::Dropped => Interface::discarded(Reason::ACL),
                    };
                    let Taken { source, pool, drops, input, direction, .. } = *taken;
                    let told = sample.told(direction, sample.statement.is_some());
                    let (sequence, one_in) = (next(1, source), sample.one_in);
                    assert_eq!(flow, Flow { sequence, source, one_in, pool, drops, input, output, told });
                    let header = told.frame.expect("a frame").header;
                    assert_eq!(flow.sample(Duration::ZERO), Some(Sample { header, ..sample.borrow() }));
                }
                (Record::Discarded(found), Item::Discarded(discard, sample)) => {
                    let Discard { source, drops, input, output, reason, direction } = *discard;
                    let (sequence, told) = (next(5, source), sample.told(direction, true));
                    assert_eq!(found, Discarded { sequence, source, drops, input, output, reason, told });
                    let header = told.frame.expect("a frame").header;
                    let fate = Fate::Dropped;
                    assert_eq!(
                        found.sample(Duration::ZERO),
                        Some(Sample { header, fate, ..sample.borrow() })
                    );
                }
                (Record::Counters(counters), Item::Interface(source, expected)) => {
                    assert_eq!((counters.sequence, counters.source), (next(2, *source), *source));
                    let found: Vec<_> = counters.records().collect();
                    assert_eq!(found, [Ok(Counter::Interface(*expected))]);
                }
                (Record::Counters(counters), first @ Item::Statement(source, ..)) => {
                    assert_eq!((counters.sequence, counters.source), (next(2, *source), *source));
                    assert_eq!(counters.count as usize, counters.records().count());
                    let mut first = Some(first);
                    for found in counters.records() {
                        let item = first.take().or_else(|| items.next());
                        let Some(Item::Statement(of, name, packets, bytes)) = item else {
                            panic!("{item:?}")
                        };
                        let expected = StatementCounters { name, packets: *packets, bytes: *bytes };
                        assert_eq!((of, found), (source, Ok(Counter::Statement(expected))));
                    }
                }
                (found, asked) => panic!("{found:?} for {asked:?}"),
            }
        }
    }
    assert!(items.peek().is_none(), "something is missing");
}

proptest! {
    #[test]
    fn what_is_encoded_decodes_the_same(
        settings in settings(),
        items in prop::collection::vec(item(), 0..24),
    ) {
        assert_same(&encode(settings, &items), settings, &items);
    }

    #[test]
    fn no_bytes_panic(bytes in prop::collection::vec(any::<u8>(), 0..400)) {
        look_at(&bytes);
    }

    #[test]
    fn bent_datagrams_do_not_panic(
        settings in settings(),
        items in prop::collection::vec(item(), 1..8),
        bends in prop::collection::vec((any::<prop::sample::Index>(), any::<u8>()), 1..6),
    ) {
        for mut datagram in encode(settings, &items) {
            for (at, value) in &bends {
                let at = at.index(datagram.len());
                datagram[at] = *value;
            }
            look_at(&datagram);
        }
    }

    #[test]
    fn a_cut_datagram_gives_the_samples_before_the_cut_and_an_error(
        settings in settings(),
        items in prop::collection::vec(item(), 1..6),
    ) {
        for datagram in encode(settings, &items) {
            let whole = records(&datagram);
            for cut in 0..datagram.len() {
                look_at(&datagram[..cut]);
                let mut found = records(&datagram[..cut]);
                let end = found.pop();
                prop_assert!(matches!(end, Some(Err(Malformed::Short { .. }))), "{:?}", end);
                prop_assert_eq!(&found[..], &whole[..found.len()]);
            }
        }
    }
}
