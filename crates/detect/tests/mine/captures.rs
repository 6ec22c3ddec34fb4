//! Real attacks beside everyday traffic, mined from one packet in ten and judged on all.
//!
//! `cargo test -p weir-detect --test mine captures -- --nocapture` prints the table of `docs/detection.md`.

use crate::judge::{SHOWN, agrees, matched, policy, sample, text};
use crate::recorded::{ATTACKS, Recorded, VICTIM, everyday};
use std::net::IpAddr;
use weir_detect::mine::{Budget, Findings, Prefix, Protected, Request, mine};
use weir_packet::random::SplitMix;

/// One in ten, at random.
fn tenth(frames: &[Vec<u8>], seed: u64) -> Vec<Vec<u8>> {
    let mut random = SplitMix::new(seed);
    frames.iter().filter(|_| random.bits().is_multiple_of(10)).cloned().collect()
}

fn mined(attack: &[Vec<u8>], good: &[Vec<u8>]) -> Findings {
    let attack: Vec<_> = attack.iter().map(|frame| sample(frame, SHOWN, 10)).collect();
    let good: Vec<_> = good.iter().map(|frame| sample(frame, SHOWN, 10)).collect();
    mine(&Request {
        victim: &Prefix::host(IpAddr::from(VICTIM)).into(),
        attack: &attack,
        good: &good,
        network: &[],
        protected: &Protected::default(),
        budget: Budget::default(),
    })
}

/// What the miner is given of an attack's time.
#[derive(Clone, Copy, PartialEq, Debug)]
enum Window {
    /// The attack alone.
    Attack,
    /// All that came to the victim, as an alert hands it over.
    All,
}

/// What became of an attack and of good traffic, in percent.
struct Judged {
    covered: f64,
    harmed: f64,
}

/// Other samples of the same traffic give other statements: all must cover, and of good traffic few may be lost even
/// by the worst. The samples of the first turn are those of the documentation.
#[test]
fn real_attacks_are_covered_and_everyday_traffic_is_spared() {
    const TURNS: u64 = 4;
    let everyday = everyday();
    if everyday.is_empty() {
        println!("skipped real attacks: no captures at ../shared/data/captures of the repository");
        return;
    }
    for (attack, window) in
        ATTACKS.iter().flat_map(|attack| [(attack, Window::Attack), (attack, Window::All)])
    {
        let judged: Vec<_> = (0..TURNS).map(|turn| judge(attack, window, turn, &everyday)).collect();
        assert!(judged.iter().all(|judged| judged.covered >= 99.5), "{}", attack.0);
        assert!(judged.iter().all(|judged| judged.harmed <= 0.1), "{}", attack.0);
        assert!(judged[0].harmed <= 0.05, "{}", attack.0);
        assert!(
            judged.iter().map(|judged| judged.harmed).sum::<f64>() <= 0.05 * TURNS as f64,
            "{}",
            attack.0
        );
    }
}

fn judge(recorded: &(&str, &str, usize), window: Window, turn: u64, everyday: &[Vec<u8>]) -> Judged {
    let (name, _, most) = recorded;
    let Recorded { all, attack, other } = Recorded::open(recorded);
    let good: Vec<_> = other.into_iter().chain(everyday.iter().cloned()).collect();
    let shown = if window == Window::All { &all } else { &attack };
    let findings = mined(&tenth(shown, turn * 2 + 1), &tenth(&good, turn * 2 + 2));
    let policy = policy(&text(&findings));
    let share = |frames: &[Vec<u8>]| matched(&policy, frames) as f64 / frames.len() as f64 * 100.0;
    let judged = Judged { covered: share(&attack), harmed: share(&good) };
    let (Judged { covered, harmed }, attacks, goods) = (&judged, attack.len(), good.len());
    let (attack_samples, good_samples) = (findings.attack_samples, findings.good_samples);
    println!("{name}, {window:?}, from {attack_samples} and {good_samples} samples:");
    println!("  {covered:.2} % of {attacks} attack frames matched, {harmed:.3} % of {goods} good ones");
    if turn == 0 {
        println!("{}", text(&findings));
    }
    if turn == 0 && window == Window::All {
        assert!(
            include_str!("../../../../docs/detection.md").contains(&text(&findings)),
            "docs/detection.md tells of others"
        );
    }
    findings.statements.iter().for_each(|statement| agrees(statement, "", &all));
    assert!(findings.statements.len() <= *most, "{}", text(&findings));
    judged
}
