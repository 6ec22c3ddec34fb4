//! Real attacks beside everyday traffic.

use crate::recorded::{ATTACKS, Recorded, everyday};
use crate::traffic::Maker;
use crate::world::{Flow, World};
use crate::{EVERYDAY, FLOOD};
use weir_compiler::eval::Evaluator;
use weir_compiler::{NoFiles, analyse};
use weir_detect::mine::Protected;

/// What stands in the fourth second is judged on every frame of the captures, in worlds that were quiet for different times and so
/// sample different packets.
#[test]
fn real_attacks_are_dropped_in_their_steady_state() {
    const TURNS: u32 = 4;
    let good = everyday();
    if good.is_empty() {
        println!("skipped real attacks: no captures at ../shared/data/captures of the repository");
        return;
    }
    for capture in &ATTACKS {
        let (name, _, most) = capture;
        let recorded = Recorded::open(capture);
        let everyday = |maker: &mut Maker| any(&good, maker);
        let attack = |maker: &mut Maker| any(&recorded.attack, maker);
        let (everyday, attack) = (Flow::good(EVERYDAY, &everyday), Flow::bad(FLOOD, &attack));
        let mut all_lost = 0.0;
        for turn in 0..TURNS {
            let mut world = World::new(Protected::default());
            world.run(10 + turn, &[everyday]);
            world.run(4, &[everyday, attack]);
            let text = world.text();
            let [dropped, lost] = [&recorded.attack, &good].map(|frames| 100.0 * share(&text, frames));
            println!("{name}: {dropped:.2} % of it dropped, {lost:.3} % of good traffic lost");
            assert!(dropped >= 99.5 && lost <= 0.1, "{name}: {dropped} % dropped, {lost} % lost by\n{text}");
            assert!(text.matches("mitigation_").count() <= *most, "{name}: {text}");
            all_lost += lost;
        }
        assert!(all_lost <= 0.05 * f64::from(TURNS), "{name}: {all_lost} % in {TURNS} turns");
    }
}

fn any(frames: &[Vec<u8>], maker: &mut Maker) -> Vec<u8> {
    frames[maker.below(frames.len() as u64) as usize].clone()
}

fn share(statements: &str, frames: &[Vec<u8>]) -> f64 {
    let edge = analyse("edge", statements, &NoFiles);
    let mut evaluator = Evaluator::new(&edge.policy);
    frames.iter().filter(|frame| evaluator.judge(frame).by.is_some()).count() as f64 / frames.len() as f64
}
