//! Attacks that go on, and what is done about them, a line each.

use crate::units::{counted, duration, short};
use std::time::Duration;
use weir_journal::{Attack, Live, Mitigation, State};

/// So many lines: a screen has other things to show.
const MOST: usize = 8;

/// `attack 3 on 192.0.2.1 for 12.0 s, 50.0k packets/s or more: mitigation_5_ntp_amplification enforced, 48,100 packets`. Those that are over
/// stay as long as something stands against them.
pub(crate) fn lines(live: &Live, now_ns: u64) -> Vec<String> {
    let of = |attack: &Attack| -> Vec<&Mitigation> {
        let standing = live.mitigations.iter().filter(|one| one.state != State::Ended);
        standing.filter(|one| one.attack == attack.id).collect()
    };
    let told = live.attacks.iter().map(|attack| (attack, of(attack)));
    let told = told.filter(|(attack, standing)| attack.ended_ns.is_none() || !standing.is_empty());
    let mut lines: Vec<String> = told.map(|(attack, standing)| line(attack, &standing, now_ns)).collect();
    let more = lines.len().saturating_sub(MOST);
    lines.truncate(MOST);
    lines.extend((more > 0).then(|| format!("and {}", counted(more as u64, "other attack"))));
    lines
}

fn line(attack: &Attack, standing: &[&Mitigation], now_ns: u64) -> String {
    let lasts = Duration::from_secs(now_ns.saturating_sub(attack.first_ns) / 1_000_000_000);
    let goes = match attack.ended_ns {
        None => format!("for {}", duration(lasts)),
        Some(_) => "is over".to_owned(),
    };
    let done = match standing {
        [] => "nothing fits yet".to_owned(),
        some => some.iter().map(|one| mitigation(one)).collect::<Vec<String>>().join("; "),
    };
    let rate = short(attack.packets_per_second as f64);
    format!("attack {} on {} {goes}, {rate} packets/s or more: {done}", attack.id, attack.victim)
}

fn mitigation(one: &Mitigation) -> String {
    format!("{} {}, {}", one.name, one.state_words(), counted(one.hits, "packet"))
}

#[cfg(test)]
mod tests {
    use super::*;

    fn attack(id: u64, ended_ns: Option<u64>) -> Attack {
        Attack {
            id,
            victim: format!("192.0.2.{id}"),
            addresses: Vec::new(),
            packets_per_second: 50_000,
            bits_per_second: 0,
            sources: 9,
            first_ns: 1_000_000_000,
            ended_ns,
            timeline: Vec::new(),
        }
    }

    fn mitigation(id: u64, attack: u64, state: State) -> Mitigation {
        Mitigation {
            id,
            attack,
            name: format!("mitigation_{id}_x"),
            cause: String::new(),
            state,
            pinned: id == 3,
            edited: id == 3,
            hits: 1234,
            covered: 1.0,
            collateral_at_most: 0.0,
            why: None,
            text: String::new(),
        }
    }

    #[test]
    fn what_goes_on_has_a_line() {
        let over = Some(5_000_000_000);
        let live = Live {
            attacks: vec![attack(1, over), attack(2, over), attack(3, None), attack(4, None)],
            mitigations: vec![
                mitigation(1, 1, State::Ended),
                mitigation(2, 2, State::Enforced),
                mitigation(3, 3, State::Shadow),
            ],
            ..Live::default()
        };
        let expected = [
            "attack 2 on 192.0.2.2 is over, 50.0k packets/s or more: mitigation_2_x enforced, 1,234 packets",
            "attack 3 on 192.0.2.3 for 12.0 s, 50.0k packets/s or more: mitigation_3_x shadow, edited, pinned, 1,234 packets",
            "attack 4 on 192.0.2.4 for 12.0 s, 50.0k packets/s or more: nothing fits yet",
        ];
        assert_eq!(lines(&live, 13_000_000_000), expected);
        let live = Live { attacks: (1..20).map(|id| attack(id, None)).collect(), ..Live::default() };
        let lines = lines(&live, 13_000_000_000);
        assert_eq!((lines.len(), lines[8].as_str()), (9, "and 11 other attacks"));
    }
}
