//! The cases: a policy, the C program that means the same, and the frames that both meet.

use weir_compiler::{Loader, NoFiles};

use crate::clang::Source;
use crate::frames::{self, FRAMES, Frames, Way};

/// So many frames look up a million prefixes: too many for the processor's caches to hold all nodes on the way.
const MANY_FRAMES: usize = 131_072;

pub(crate) struct Case {
    pub(crate) name: &'static str,
    pub(crate) policy: String,
    pub(crate) files: Box<dyn Loader>,
    pub(crate) source: Source,
    pub(crate) frames: Frames,
}

/// Makes the case of a name.
type Make = fn(&'static str) -> Case;

/// Names, and what makes each of them: sets of a million elements are only made when they are wanted.
pub(crate) const CASES: &[(&str, Make)] = &[
    ("prefixes-10", |name| prefixes(name, 10, FRAMES)),
    ("prefixes-10k", |name| prefixes(name, 10_000, FRAMES)),
    ("prefixes-1M", |name| prefixes(name, 1_000_000, MANY_FRAMES)),
    ("ten", |name| ten(name, &MIX)),
    ("ten-friends", |name| ten(name, &[Way::Friends])),
    ("ten-bogons", |name| ten(name, &[Way::Bogons])),
    ("ten-amplification", |name| ten(name, &[Way::Amplification])),
    ("ten-syn", |name| ten(name, &[Way::SynFlood])),
    ("ten-default", |name| ten(name, &[Way::Default])),
    ("five", |name| simple(name, FIVE, "five.c", frames::draw(FRAMES, frames::five))),
    ("extensions", |name| simple(name, EXTENSIONS, "extensions.c", frames::draw(FRAMES, frames::extensions))),
    ("vxlan", |name| simple(name, VXLAN, "vxlan.c", frames::draw(FRAMES, frames::vxlan))),
];

/// The first example of the language's description, without its tests.
pub(crate) const TEN: &str = "\
set friends : ip = { 192.0.2.0/24, 2001:db8::/32 }
set blocked : ip timeout 10m max 1M

pass    friends       when ip.src in friends
drop    bogons        when ip.src in blocked or ip.src in { 0.0.0.0/8, 127.0.0.0/8 }
drop    amplification when udp.srcport in { 17, 19, 53, 123, 389, 1900, 11211 } and frame.len > 400
limit   syn_flood     when tcp.flags.syn and not tcp.flags.ack to 500/s burst 1000 per ip.src/24
default pass
";

const FIVE: &str = "drop flow when ip4.src == 198.51.100.0/24 and ip4.dst == 203.0.113.7 and ip4.ttl < 64 \
                    and udp.srcport == 53 and udp.dstport >= 1024\n";

const EXTENSIONS: &str = "drop telnet when ip6 and tcp.dstport == 23\n";

const VXLAN: &str = "drop tenant when ip4 and vxlan.vni == 7 and inner.ip4.src == 10.0.0.0/8 \
                     and inner.udp.dstport == 53\n";

/// Of eight frames of the ten-line example.
const MIX: [Way; 8] = [
    Way::Friends,
    Way::Bogons,
    Way::Amplification,
    Way::Amplification,
    Way::SynFlood,
    Way::SynFlood,
    Way::Default,
    Way::Default,
];

/// The one file that a policy names.
pub(crate) struct Text(pub(crate) String);

impl Loader for Text {
    fn load(&self, _: &str, path: &str) -> Result<(String, String), String> {
        Ok((path.to_owned(), self.0.clone()))
    }
}

fn prefixes(name: &'static str, count: usize, frames: usize) -> Case {
    let prefixes = frames::prefixes(count);
    let line = |(address, length): &(u32, u8)| format!("{}/{length}\n", std::net::Ipv4Addr::from(*address));
    let key = |(address, length): &(u32, u8)| {
        let key = [u32::from(*length).to_ne_bytes(), address.to_be_bytes()].concat();
        (key, vec![1, 0, 0, 0])
    };
    Case {
        name,
        policy: "set sources : ip4 from \"sources.txt\"\ndrop listed when ip4.src in sources\n".to_owned(),
        files: Box::new(Text(prefixes.iter().map(line).collect())),
        source: Source {
            defines: vec![format!("ENTRIES={count}")],
            fill: vec![("sources", prefixes.iter().map(key).collect())],
            ..Source::plain("prefix.c")
        },
        frames: frames::sources(frames, &prefixes),
    }
}

fn ten(name: &'static str, ways: &[Way]) -> Case {
    let frames = frames::draw(FRAMES, |random| {
        let way = ways[random.below(ways.len() as u32) as usize];
        frames::ten(random, way)
    });
    simple(name, TEN, "ten.c", frames)
}

fn simple(name: &'static str, policy: &str, file: &'static str, frames: Frames) -> Case {
    let (policy, files, source) = (policy.to_owned(), Box::new(NoFiles), Source::plain(file));
    Case { name, policy, files, source, frames }
}
