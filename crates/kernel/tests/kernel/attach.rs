use std::collections::BTreeMap;

use weir_bpf::map::MapDef;
use weir_kernel::attach::{self, AttachError, Attachment, Holder, Hook, TcDoor};
use weir_kernel::load::{self, Loaded, Options, Reuse};
use weir_kernel::netlink::{Interface, Netlink};
use weir_kernel::program::Program;
use weir_kernel::run::{self, LiveRun};

use crate::programs::{
    XDP_DROP, XDP_PASS, XDP_TX, counter_map, counting, dispatcher, elf, frame, one, returns, try_load,
};
use crate::support::{Pins, Wire, require_kernel, say};

fn pass() -> Program {
    one(returns("pass", "xdp", XDP_PASS))
}

fn drop_all() -> Program {
    one(returns("drop_all", "xdp", XDP_DROP))
}

#[test]
fn native_and_generic_on_veth() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        for hook in [Hook::XdpNative, Hook::XdpGeneric] {
            let program = pass();
            let attachment = attach::attach(&program, &left, hook).unwrap();
            let found = attach::occupants(&left).unwrap();
            assert_eq!(found, [attachment.occupant().unwrap()]);
            assert_eq!((found[0].hook, found[0].program_name.as_str()), (hook, "pass"));
            assert_eq!(found[0].program_id, program.id().unwrap());
            assert!(matches!(found[0].holder, Holder::Link { .. }));
            drop(attachment);
            assert_eq!(attach::occupants(&left).unwrap(), []);
        }
    });
}

#[test]
fn whoever_is_in_the_way_is_named() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        let _first = attach::attach(&pass(), &left, Hook::XdpNative).unwrap();
        let error = attach::attach(&drop_all(), &left, Hook::XdpNative).unwrap_err();
        assert!(
            matches!(&error, AttachError::Busy { occupant, .. } if occupant.program_name == "pass"),
            "{error}"
        );
        let error = attach::attach(&drop_all(), &left, Hook::XdpGeneric).unwrap_err();
        assert!(matches!(&error, AttachError::OtherMode { .. }), "{error}");
        assert!(error.to_string().contains("(`pass`)"), "{error}");
    });
}

#[test]
fn refusals_have_reasons() {
    require_kernel!();
    let wire = Wire::new();
    let mut netlink = Netlink::open_in(&wire.right).unwrap();
    netlink.set_mtu("right", 9000).unwrap();
    wire.at_left(|left| {
        Netlink::open().unwrap().set_mtu("left", 9000).unwrap();
        let error = attach::attach(&pass(), &left, Hook::XdpNative).unwrap_err();
        assert!(matches!(error, AttachError::MtuTooLarge { mtu: 9000, .. }), "{error}");
        attach::attach(&one(returns("frags", "xdp.frags", XDP_PASS)), &left, Hook::XdpNative).unwrap();

        let lo = Interface::named("lo").unwrap();
        let error = attach::attach(&pass(), &lo, Hook::XdpNative).unwrap_err();
        assert!(matches!(error, AttachError::NoNative { .. }), "{error}");
        assert!(error.to_string().contains("--mode generic"));
        attach::attach(&pass(), &lo, Hook::XdpGeneric).unwrap();

        let gone = Interface { index: 999, name: "gone".into() };
        let error = attach::attach(&pass(), &gone, Hook::XdpNative).unwrap_err();
        assert!(matches!(error, AttachError::NoInterface { .. }), "{error}");
        let error = attach::attach(&one(returns("ok", "tc", 0)), &left, Hook::XdpNative).unwrap_err();
        assert_eq!(error.to_string(), "program `ok` is not for native XDP");
        assert!(Interface::named("gone").unwrap_err().is_missing());
    });
}

#[test]
fn all_interfaces_or_none() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        let lo = Interface::named("lo").unwrap();
        let both = [left.clone(), lo.clone()];
        attach::attach_all(&pass(), &both, Hook::XdpNative).unwrap_err();
        assert_eq!(attach::occupants(&left).unwrap(), []);
        let attached = attach::attach_all(&pass(), &both, Hook::XdpGeneric).unwrap();
        assert_eq!(attached.len(), 2);
        assert_eq!(attach::occupants(&lo).unwrap().len(), 1);
    });
}

#[test]
fn a_pinned_link_survives_and_swaps_its_program() {
    require_kernel!();
    let pins = Pins::new();
    let wire = Wire::new();
    wire.at_left(|left| {
        let mut attachment = attach::attach(&pass(), &left, Hook::XdpNative).unwrap();
        attachment.pin(&pins.at("link")).unwrap();
        drop(attachment);
        assert_eq!(attach::occupants(&left).unwrap()[0].program_name, "pass");

        let mut again = Attachment::open(&pins.at("link")).unwrap();
        assert_eq!((again.interface(), again.hook()), (&left, Hook::XdpNative));
        let next = drop_all();
        again.update(&next).unwrap();
        assert_eq!(attach::occupants(&left).unwrap()[0].program_id, next.id().unwrap());
        again.detach().unwrap();
        assert_eq!(attach::occupants(&left).unwrap(), []);
        assert!(Attachment::open(&pins.at("link")).unwrap_err().is_missing());
    });
}

#[test]
fn packets_meet_what_is_attached_first_before_others() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        let [there, before] = ["there", "before"].map(|name| one(returns(name, "tc", 0)));
        let _there = attach::attach_tc(&there, &left, Hook::TcEgress, TcDoor::Tcx).unwrap();
        let _before = attach::attach_first(&before, &left, Hook::TcEgress).unwrap();
        let names = attach::occupants(&left).unwrap().into_iter().map(|occupant| occupant.program_name);
        assert_eq!(names.collect::<Vec<_>>(), ["before", "there"]);
    });
}

#[test]
fn tc_by_both_doors() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        for hook in [Hook::TcIngress, Hook::TcEgress] {
            for door in [TcDoor::Tcx, TcDoor::Clsact { priority: 0 }, TcDoor::Clsact { priority: 7 }] {
                let program = one(returns("ok", "tc", 0));
                let mut attachment = attach::attach_tc(&program, &left, hook, door).unwrap();
                let found = attach::occupants(&left).unwrap();
                assert_eq!(found, [attachment.occupant().unwrap()], "{door:?}");
                assert_eq!(found[0].program_id, program.id().unwrap());
                assert_eq!(found[0].hook, hook);
                match (door, found[0].holder) {
                    (TcDoor::Clsact { priority: 7 }, Holder::Filter { priority, .. }) => {
                        assert_eq!(priority, 7)
                    }
                    (TcDoor::Clsact { .. }, Holder::Filter { .. }) | (_, Holder::Link { .. }) => {}
                    other => panic!("{other:?}"),
                }
                let next = one(returns("next", "tc", 0));
                attachment.update(&next).unwrap();
                let found = attach::occupants(&left).unwrap();
                assert_eq!(found.len(), 1);
                assert_eq!(found[0].program_id, next.id().unwrap());
                drop(attachment);
                assert_eq!(attach::occupants(&left).unwrap(), []);
            }
        }
    });
}

#[test]
fn anyone_can_be_evicted() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        let program = one(returns("ok", "tc", 0));
        let filter =
            attach::attach_tc(&program, &left, Hook::TcEgress, TcDoor::Clsact { priority: 3 }).unwrap();
        filter.let_go();
        let _tcx = attach::attach(&program, &left, Hook::TcIngress).unwrap();
        let _xdp = attach::attach(&pass(), &left, Hook::XdpNative).unwrap();
        let found = attach::occupants(&left).unwrap();
        assert_eq!(found.len(), 3);
        for occupant in &found {
            attach::evict(&left, occupant).unwrap();
        }
        assert_eq!(attach::occupants(&left).unwrap(), []);
    });
}

#[test]
fn a_slot_of_a_prog_array_swaps_the_policy() {
    require_kernel!();
    let loaded = try_load(vec![dispatcher()], vec![MapDef::programs("slots", 1)]).unwrap();
    let (root, slots) = (loaded.program("root").unwrap(), loaded.map("slots").unwrap());
    let answer = || run::once(root, &frame(64, 0)).unwrap().code;
    assert_eq!(answer(), XDP_DROP);
    let program = pass();
    slots.set_program(0, &program).unwrap();
    assert_eq!(slots.program_id(0).unwrap(), Some(program.id().unwrap()));
    assert_eq!(answer(), XDP_PASS);
    slots.set_program(0, &drop_all()).unwrap();
    assert_eq!(answer(), XDP_DROP);
    assert!(slots.clear_program(0).unwrap());
    assert_eq!(slots.program_id(0).unwrap(), None);
}

#[test]
fn xdp_without_links() {
    require_kernel!();
    let wire = Wire::new();
    wire.at_left(|left| {
        for hook in [Hook::XdpNative, Hook::XdpGeneric] {
            let mut attachment = attach::attach_by_netlink(&pass(), &left, hook).unwrap();
            let found = attach::occupants(&left).unwrap();
            assert_eq!(found, [attachment.occupant().unwrap()]);
            assert_eq!((found[0].hook, found[0].holder), (hook, Holder::Netlink));
            let next = drop_all();
            attachment.update(&next).unwrap();
            assert_eq!(attach::occupants(&left).unwrap()[0].program_id, next.id().unwrap());
            let error = attach::attach_by_netlink(&pass(), &left, hook).unwrap_err();
            assert!(matches!(error, AttachError::Busy { .. }), "{error}");
            drop(attachment);
            assert_eq!(attach::occupants(&left).unwrap(), []);
        }
        let error = attach::attach_by_netlink(&pass(), &Interface::named("lo").unwrap(), Hook::XdpNative);
        assert!(matches!(error.unwrap_err(), AttachError::NoNative { .. }));
    });
}

/// Programs before and after swap drop all and count together; what meets none reaches tc, which counts too.
#[test]
fn under_traffic_every_frame_meets_the_old_or_the_new_program() {
    require_kernel!();
    const FRAMES: u32 = 2_000_000;
    let wire = Wire::new();
    let spy = try_load(vec![counting("spy", "tc", 0)], vec![counter_map()]).unwrap();
    let first = try_load(vec![counting("first", "xdp", XDP_DROP)], vec![counter_map()]).unwrap();
    let map = || Reuse::Map(first.map("counts").unwrap().try_clone().unwrap());
    let options = Options { reuse: BTreeMap::from([("counts".to_owned(), map())]), ..Options::default() };
    let second = elf(vec![counting("second", "xdp", XDP_DROP)], vec![counter_map()]);
    let second = load::load(&second, options).unwrap();
    let programs = [first.program("first").unwrap(), second.program("second").unwrap()];
    let swaps = wire.at_left(|left| {
        let mut attachment = attach::attach(programs[0], &left, Hook::XdpNative).unwrap();
        let _spy = attach::attach(spy.program("spy").unwrap(), &left, Hook::TcIngress).unwrap();
        let before = count_of(&first);
        let send = || {
            let right = Interface::named("right").unwrap();
            let back = one(returns("back", "xdp", XDP_TX));
            let frame = frame(64, 0);
            run::live(&back, &LiveRun { frame: &frame, repeat: FRAMES, batch: 64, ingress: right.index })
                .unwrap();
        };
        std::thread::scope(|scope| {
            let sender = scope.spawn(|| wire.right.run(send).unwrap());
            let mut swaps = 0;
            while !sender.is_finished() {
                swaps += 1;
                attachment.update(programs[swaps % 2]).unwrap();
            }
            sender.join().unwrap();
            assert!(count_of(&first) - before >= 1000);
            swaps
        })
    });
    let (judged, missed) = (count_of(&first), count_of(&spy));
    say!("{swaps} swaps under {judged} of {FRAMES} frames; {missed} met no program");
    assert!(swaps >= 2);
    assert_eq!(missed, 0);
}

fn count_of(loaded: &Loaded) -> u64 {
    let value = loaded.map("counts").unwrap().lookup(&[0; 4]).unwrap().unwrap();
    u64::from_ne_bytes(value.try_into().unwrap())
}
