//! What to do about the part of an attack that looks like good traffic.

use super::cause::{CAUSES, Nature};
use super::evidence::{Evidence, Side};
use super::table::Bits;
use serde::{Deserialize, Serialize};
use std::collections::BTreeMap;
use std::net::IpAddr;

/// What fits a part of an attack that no condition tells from good traffic.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub enum Answer {
    /// Its sources send much more each than good ones do: a `limit` for each of them.
    Limit(Rate),
    /// New connections from sources without number: the host answers them with SYN cookies (RFC 4987, section 3.6), as `answer … syncookie`
    /// does.
    SynCookies,
    /// No more of it than there was before: it is the victim's good traffic, and nothing is to be done.
    Usual,
    /// Nothing that the edge does would spare good traffic: someone has to look.
    Alert,
}

/// A rate for each network of sources: an IPv4 /24, an IPv6 /56.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize, Deserialize)]
pub struct Rate {
    /// What flows in, in packets a second.
    pub packets: u64,
}

/// No source is limited to fewer packets a second.
const LEAST: f64 = 10.0;
/// Good sources may send so many times what was seen of the busiest.
const ROOM: f64 = 2.0;
/// A limit must take so much of what it is for, and more of it than this must come than before.
const WORTH: f64 = 0.5;
const MORE: f64 = 2.0;
/// A source with fewer samples says nothing of its rate.
const SAMPLES: usize = 3;

impl Answer {
    /// For attack rows of a kind.
    pub(super) fn to(cause: usize, rows: &Bits, evidence: &Evidence) -> Answer {
        let good = evidence.good.table.rule(&evidence.good.open, &CAUSES[cause].rule());
        let (attackers, others) = (Sources::of(&evidence.attack, rows), Sources::of(&evidence.good, &good));
        let cookies = match CAUSES[cause].nature {
            Nature::Opening => Answer::SynCookies,
            _ => Answer::Alert,
        };
        let (Some(attackers), Some(others)) = (attackers, others) else { return cookies };
        if attackers.rate < others.rate * MORE {
            return Answer::Usual;
        }
        let packets = (others.busiest() * ROOM).max(LEAST).ceil();
        let over: f64 = attackers.networks.values().map(|rate| (rate - packets).max(0.0)).sum();
        match over >= attackers.rate * WORTH {
            true => Answer::Limit(Rate { packets: packets as u64 }),
            false => cookies,
        }
    }
}

/// Packets a second, of all and by the sources' networks.
struct Sources {
    rate: f64,
    networks: BTreeMap<IpAddr, f64>,
}

impl Sources {
    /// `None` if the samples do not span any time.
    fn of(side: &Side, rows: &Bits) -> Option<Sources> {
        let seconds = Some(side.span().as_secs_f64()).filter(|&seconds| seconds > 0.0)?;
        let mut networks: BTreeMap<IpAddr, Bits> = BTreeMap::new();
        for row in rows.rows() {
            let network =
                super::Prefix::new(side.seen[row].0, if side.seen[row].0.is_ipv4() { 24 } else { 56 });
            networks.entry(network.address()).or_insert_with(|| Bits::none(side.table.rows())).insert(row);
        }
        let told = networks.into_iter().filter(|network| network.1.count() >= SAMPLES);
        let networks = told.map(|(network, rows)| (network, side.table.weight(&rows) / seconds)).collect();
        Some(Sources { rate: side.table.weight(rows) / seconds, networks })
    }

    fn busiest(&self) -> f64 {
        self.networks.values().copied().fold(0.0, f64::max)
    }
}
