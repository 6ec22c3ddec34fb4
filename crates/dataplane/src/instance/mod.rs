//! Instances: a policy on interfaces, as a directory of pins.
//!
//! ```text
//! <bpffs>/weir/<instance>/
//!     root              the root program, on every interface: tail-calls slot 0, passes if it is empty
//!     slots             the program array
//!     links/            there as soon as the instance runs, gone as soon as it does not
//!         <index>       a link
//!         clsact-<index>-<way>-netns-<inode>   a filter's note, where tc has no links
//!     gen-<n>/          a generation: a loaded policy
//!         program       pinned last: a generation with a program is complete
//!         meta          what it is, as JSON: source, slots of counters, sets, limits
//!         <map>         each map by its name; maps that are kept are pinned in both generations
//!         own-<set>     elements of indexes with their lifetimes, which programs do not need
//!         carried-<n>   counters of earlier generations whose map became too small
//! ```
//!
//! What runs is the generation whose program is in slot 0: a reload makes `gen-<n+1>` complete, sets the slot (the
//! one point of no return) and removes `gen-<n>`. A process that is killed anywhere leaves one of the two running
//! and complete, and a directory that the next command removes. Likewise `attaching` becomes `links` by a rename
//! when all interfaces are attached, and `links` becomes `detaching` before the first one is detached.
//!
//! The lock is `flock` on the instance's directory: the kernel gives it back when its process ends.

pub(crate) mod build;
pub(crate) mod generation;
mod heirs;
mod holders;
mod live;
mod make;
mod meta;
mod place;
mod profile;
mod root;
mod status;

pub(crate) use generation::{Generation, settle};
pub(crate) use meta::CaptureMeta;
pub use meta::{Source, SourceFile};
pub(crate) use place::{Lock, Place, try_lock_dir};
pub(crate) use status::counters;

use crate::capture::Capture;
use crate::counters::{StatementCounters, Statistics};
use crate::pools::{self, PoolStatus, Unreached};
use crate::samples::{SampleStatus, Samples};
use crate::sets::carry::Grown;
use crate::sets::{Filling, LiveSet, SetStatus};
use crate::{Error, Hook};
use build::{Beside, Built, build};
use meta::Setting;
use serde::Serialize;
use std::time::Instant;
use weir_bpf::target::Target;
use weir_compiler::diagnostic::Diagnostics;
use weir_compiler::source::Sources;
use weir_compiler::{Analysis, Loader, NoFiles};
use weir_kernel::attach::{self, AttachError, Occupant, TcDoor};
use weir_kernel::maps::Map;
use weir_kernel::netlink::Interface;
use weir_kernel::probe;
use weir_kernel::program::Program;

/// The name of an instance that was given none.
pub const DEFAULT_INSTANCE: &str = "weir";

/// A policy's text and where its files come from.
#[derive(Clone, Copy)]
pub struct Policy<'a> {
    /// The name for messages: its path.
    pub name: &'a str,
    /// The text.
    pub text: &'a str,
    /// Gives the files that it names.
    pub loader: &'a dyn Loader,
}

impl<'a> Policy<'a> {
    /// One that names no files.
    pub fn new(name: &'a str, text: &'a str) -> Self {
        Self { name, text, loader: &NoFiles }
    }
}

/// What to load.
#[derive(Clone)]
pub struct Request<'a> {
    /// The instance's name.
    pub instance: &'a str,
    /// What it does.
    pub policy: Policy<'a>,
    /// On which interfaces of the calling thread's namespace.
    pub interfaces: Vec<String>,
    /// Where on them.
    pub hook: Hook,
    /// By which door to tc, for tc hooks. The best is tcx, and clsact where the target has no tcx.
    pub door: TcDoor,
    /// XDP frames may have several buffers.
    pub frags: bool,
    /// What the kernel can do; it is probed (50 ms) where nothing is given.
    pub target: Option<Target>,
}

impl<'a> Request<'a> {
    /// The default instance with native XDP.
    pub fn new(policy: Policy<'a>, interfaces: &[&str]) -> Self {
        let interfaces = interfaces.iter().map(|name| (*name).to_owned()).collect();
        let (hook, door) = (Hook::XdpNative, TcDoor::Best);
        Self { instance: DEFAULT_INSTANCE, policy, interfaces, hook, door, frags: false, target: None }
    }
}

/// What a load or reload put in place.
#[derive(Clone, Copy, PartialEq, Eq, Debug, Serialize)]
#[serde(rename_all = "lowercase")]
pub enum Change {
    /// A program, which the kernel verified.
    Program,
    /// Tables of the program that runs on.
    Tables,
    /// Nothing that packets meet: the policy is only written otherwise.
    Text,
}

/// What a profile says.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Profiled {
    /// The packets that it rests on.
    pub packets: u64,
    /// The statements that many of them met, the most frequent first.
    pub frequent: Vec<Frequent>,
}

/// A statement that many packets met.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Frequent {
    /// Its name.
    pub statement: String,
    /// The part of all packets that it applied to.
    pub share: f64,
}

/// What a load or reload did.
#[derive(Debug, Serialize)]
pub struct Report {
    /// The instance.
    pub instance: String,
    /// Its generation: 1 after a load, one more for each swap.
    pub generation: u64,
    /// What was put in place.
    pub change: Change,
    /// What goes on with its contents: `counters`, `set blocked`, `limit syn_flood`.
    pub kept: Vec<String>,
    /// What begins anew.
    pub fresh: Vec<String>,
    /// What is no longer there.
    pub gone: Vec<String>,
    /// The profile that was taken for it, if one was.
    #[serde(skip_serializing_if = "Option::is_none")]
    pub profile: Option<Profiled>,
    /// Instructions of the program.
    pub instructions: usize,
    /// Reading, checking, compiling.
    pub compile_us: u64,
    /// Loading, the verifier included, and filling maps.
    pub load_us: u64,
    /// The swap itself.
    pub swap_us: u64,
    /// Backends to which packets would not leave, as the kernel's routes are now.
    #[serde(skip_serializing_if = "Vec::is_empty")]
    pub unreached: Vec<Unreached>,
    /// Warnings of the compiler, to be rendered over [`Report::sources`].
    #[serde(skip)]
    pub warnings: Diagnostics,
    /// The texts that warnings point into.
    #[serde(skip)]
    pub sources: Sources,
}

/// The instance on one interface.
#[derive(Clone, PartialEq, Eq, Debug, Serialize)]
pub struct Attached {
    /// The interface's name in the calling thread's namespace, else the one it had when it was loaded.
    pub interface: String,
    /// Its index; 0 if the interface is gone.
    pub ifindex: u32,
    /// Where on it.
    pub hook: Hook,
    /// Whether the root program still sits there.
    pub active: bool,
}

/// What runs.
#[derive(Clone, PartialEq, Debug, Serialize)]
pub struct Status {
    /// The instance.
    pub instance: String,
    /// Its generation.
    pub generation: u64,
    /// The policy's name (path).
    pub policy: String,
    /// The files that it named.
    pub files: Vec<String>,
    /// When it was compiled, in seconds since 1970.
    pub loaded_at: u64,
    /// Where it sits.
    pub hook: Hook,
    /// Whether XDP frames may have several buffers.
    pub frags: bool,
    /// On which interfaces.
    pub attachments: Vec<Attached>,
    /// The kernel's id of the running program.
    pub program_id: u32,
    /// Statements whose frames are being captured.
    pub capturing: Vec<String>,
    /// By statement, `default` last.
    pub counters: Vec<StatementCounters>,
    /// The sets that live in maps.
    pub sets: Vec<SetStatus>,
    /// The pools.
    pub pools: Vec<PoolStatus>,
    /// The statements that sample.
    pub samples: Vec<SampleStatus>,
    /// What else was counted.
    pub statistics: Statistics,
}

/// Tells what runs from what ran before: a reload counts generations, and a load has another program.
#[derive(Clone, Copy, PartialEq, Eq, Debug)]
pub(crate) struct Stamp {
    pub(crate) generation: u64,
    program: u32,
}

/// A running policy.
///
/// Nothing of it is in this process: dropping the value changes nothing, and another process may reload the
/// instance between two calls. Each call looks at what runs then; calls that change something hold the
/// instance's lock.
#[derive(Clone, Debug)]
pub struct Instance {
    place: Place,
}

impl Instance {
    /// Loads a policy and attaches it to all interfaces, or leaves nothing behind.
    pub fn load(request: &Request<'_>) -> Result<(Self, Report), Error> {
        let place = Place::of(request.instance)?;
        let interfaces = interfaces(&request.interfaces)?;
        let target = request.target.clone().unwrap_or_else(probe::target);
        let named = interfaces.iter().map(|interface| (interface.index, interface.name.clone())).collect();
        let setting = Setting { hook: request.hook, frags: request.frags, interfaces: named, target };
        let built = build(&request.policy, &setting, Beside::default())?;
        let _lock = place.create()?;
        if place.is_running() {
            return Err(Error::Running { name: request.instance.to_owned() });
        }
        match start(&place, built, &setting, request.door, &interfaces) {
            Ok(report) => Ok((Self { place }, report)),
            Err(error) => {
                place.remove()?;
                Err(error)
            }
        }
    }

    /// Adopts a running instance, also one whose process was killed at any point: what was left half-made is removed.
    pub fn open(name: &str) -> Result<Self, Error> {
        let place = Place::of(name)?;
        let _lock = place.lock()?;
        settle(&place)?;
        Ok(Self { place })
    }

    /// Replaces the policy: all of it or, on any error, nothing. If it compiles to the program that runs, only its
    /// tables are exchanged.
    pub fn reload(&mut self, policy: &Policy<'_>) -> Result<Report, Error> {
        let _lock = self.place.lock()?;
        self.replace(policy, settle(&self.place)?)
    }

    /// The same, with a program that is laid out for what was counted since the last profile. Later reloads keep to it.
    pub fn reload_with_profile(&mut self, policy: &Policy<'_>) -> Result<Report, Error> {
        let _lock = self.place.lock()?;
        let mut running = settle(&self.place)?;
        let profile = Some(profile::take(self.name(), &mut running)?);
        Ok(Report { profile, ..self.replace(policy, running)? })
    }

    /// Under the lock.
    fn replace(&self, policy: &Policy<'_>, running: Generation) -> Result<Report, Error> {
        replace(&self.place, policy, &running, None, &mut |_| ())
    }

    /// Detaches it and removes everything, also what another version or a killed process left.
    pub fn unload(self) -> Result<(), Error> {
        unload(self.name())
    }

    /// Its name.
    pub fn name(&self) -> &str {
        self.place.name()
    }

    /// The policy's text as it runs, not as it is on the disk.
    pub fn policy_text(&self) -> Result<String, Error> {
        Ok(self.source()?.text)
    }

    /// The policy and the files that it names, as they run.
    pub(crate) fn source(&self) -> Result<Source, Error> {
        self.look(|running| running.source(&self.place))
    }

    /// Compiles a policy as a reload would: what its loader will know then, it knows after this.
    pub(crate) fn rehearse(&self, policy: &Policy<'_>) -> Result<(), Error> {
        let running = self.running()?;
        compile_beside(policy, &running, None).map(drop)
    }

    /// What runs, as a number that no other load or reload has.
    pub(crate) fn stamp(&self) -> Result<Stamp, Error> {
        self.look(|running| Ok(Stamp { generation: running.number, program: running.program_id }))
    }

    /// The policy as it runs, read and checked.
    pub fn analysis(&self) -> Result<Analysis, Error> {
        let source = self.source()?;
        Ok(weir_compiler::analyse(&source.name, &source.text, &source))
    }

    /// A set to change.
    pub fn set(&self, name: &str) -> Result<LiveSet, Error> {
        LiveSet::of(self.place.clone(), name)
    }

    /// Copies the frames of statements to this process from now on.
    pub fn capture<T: AsRef<str>>(&self, statements: &[T]) -> Result<Capture, Error> {
        let statements = statements.iter().map(|name| name.as_ref().to_owned()).collect();
        Capture::start(self.place.clone(), statements)
    }

    /// Reads what statements sample, from now on.
    pub fn samples(&self) -> Result<Samples, Error> {
        Samples::open(self.clone())
    }

    pub(crate) fn place(&self) -> &Place {
        &self.place
    }

    fn running(&self) -> Result<Generation, Error> {
        Generation::running(&self.place)
    }
}

/// Compiles a policy that is to follow a running one.
fn compile_beside(policy: &Policy<'_>, running: &Generation, grown: Option<&Grown>) -> Result<Built, Error> {
    let rooms = live::rooms(running)?;
    build(
        policy,
        &running.meta.setting,
        Beside { running: Some(running), rooms: &rooms, grown, capture: &[] },
    )
}

/// Puts a policy in the place of the running one, under the lock.
fn replace(
    place: &Place,
    policy: &Policy<'_>,
    running: &Generation,
    grown: Option<&Grown>,
    tell: &mut dyn FnMut(Filling),
) -> Result<Report, Error> {
    let (setting, built) = (&running.meta.setting, compile_beside(policy, running, grown)?);
    pools::carry::try_follow(&built.pools, running)?;
    let start = Instant::now();
    let alone = make::tables_alone(place, &built, setting, running)?;
    let made = match alone {
        Some(made) => made,
        None => make::successor(place, &built, setting, Some(running), tell)?,
    };
    let slots = Map::open(&place.slots())?;
    let load_us = microseconds(start);
    let start = Instant::now();
    let swapped = match made.change {
        Change::Program => slots.set_program(root::POLICY, &made.program).map_err(Error::from),
        Change::Tables => live::take_up(running, made.space),
        Change::Text => Ok(()),
    };
    if let Err(error) = swapped {
        place::remove_dir(&place.generation(made.number))?;
        return Err(error);
    }
    let swap_us = microseconds(start);
    // What the policy says of backends is done to those that run. It was tried before, so that it cannot be refused here.
    if let Some(now) = Generation::open(place, made.number)? {
        pools::carry::follow(&now)?;
    }
    for number in place.generations()?.into_iter().filter(|number| *number != made.number) {
        // The new policy runs already. What cannot be removed now, the next command removes.
        let _ = place::remove_dir(&place.generation(number));
    }
    let unreached = pools::ways::unreached(&built.pools, &setting.interfaces);
    Ok(Report { unreached, ..report(place.name(), built, made, load_us, swap_us) })
}

/// Swaps in another generation of the policy that runs, in which a set has room for what it holds from now on. Under
/// the lock.
pub(crate) fn grow(
    place: &Place,
    running: &Generation,
    grown: &Grown,
    tell: &mut dyn FnMut(Filling),
) -> Result<Generation, Error> {
    let source = running.source(place)?;
    let policy = Policy { name: &source.name, text: &source.text, loader: &source };
    replace(place, &policy, running, Some(grown), tell)?;
    Generation::running(place)
}

/// Removes an instance of that name with everything that belongs to it, whatever state it is in.
pub fn unload(name: &str) -> Result<(), Error> {
    let place = Place::of(name)?;
    let _lock = place.lock()?;
    let was_running = place.is_running();
    if was_running {
        // From here on it is no instance but a leftover, so a kill in the middle is finished by the next command.
        holders::clear(&place.old_links())?;
        let (from, to) = (place.links(), place.old_links());
        std::fs::rename(&from, &to).map_err(|error| Error::io("rename", from, error))?;
    }
    let missing = place.missing();
    place.remove()?;
    if was_running { Ok(()) } else { Err(missing) }
}

/// Swaps in a variant that captures; the lock says that somebody reads it. The plain generation stays.
pub(crate) fn swap_in_variant(
    place: &Place,
    built: &Built,
    plain: &Generation,
    capture: CaptureMeta,
) -> Result<(Generation, Lock), Error> {
    let made = make::variant(place, built, plain, capture)?;
    let reading = place::try_lock_dir(&place.generation(made.number))?;
    let variant = Generation::open(place, made.number)?;
    let (Some(reading), Some(variant)) = (reading, variant) else {
        return Err(place.damaged("the capture's generation went while it was made"));
    };
    Map::open(&place.slots())?.set_program(root::POLICY, &made.program)?;
    Ok((variant, reading))
}

/// The names of the instances that run, sorted.
pub fn list_instances() -> Result<Vec<String>, Error> {
    let Some(mount) = weir_kernel::pins::find_bpffs() else { return Ok(Vec::new()) };
    let path = mount.join("weir");
    let entries = match std::fs::read_dir(&path) {
        Ok(entries) => entries,
        Err(error) if error.kind() == std::io::ErrorKind::NotFound => return Ok(Vec::new()),
        Err(error) => return Err(Error::io("list", path, error)),
    };
    let names = entries.flatten().map(|entry| entry.file_name().to_string_lossy().into_owned());
    let runs = |name: &String| Place::of(name).is_ok_and(|place| place.is_running());
    let mut names: Vec<String> = names.filter(runs).collect();
    names.sort();
    Ok(names)
}

/// The instances that a load with this hook would find on these interfaces of the calling thread's namespace.
pub fn instances_at(hook: Hook, interfaces: &[String]) -> Result<Vec<String>, Error> {
    let same = |occupant: &Occupant| match occupant.hook {
        // An interface runs XDP in one mode.
        attach::Hook::XdpNative | attach::Hook::XdpGeneric | attach::Hook::XdpOffload => hook.is_xdp(),
        there => there == hook.attached(),
    };
    let mut programs = Vec::new();
    for interface in self::interfaces(interfaces)? {
        programs.extend(attach::occupants(&interface)?.into_iter().filter(same).map(|one| one.program_id));
    }
    let mut names = list_instances()?;
    names.retain(|name| {
        let root = Place::of(name).ok().and_then(|place| Program::open(&place.root()).ok()?.id().ok());
        root.is_some_and(|root| programs.contains(&root))
    });
    Ok(names)
}

fn interfaces(names: &[String]) -> Result<Vec<Interface>, Error> {
    if names.is_empty() {
        return Err(Error::NoInterfaces);
    }
    if let Some((_, twice)) = names.iter().enumerate().find(|(nth, name)| names[..*nth].contains(name)) {
        return Err(Error::InterfaceTwice { name: twice.clone() });
    }
    let named = |name: &String| match Interface::named(name) {
        Ok(interface) => Ok(interface),
        Err(error) if error.is_missing() => Err(AttachError::NoInterface { interface: name.clone() }.into()),
        Err(error) => Err(Error::from(error)),
    };
    names.iter().map(named).collect()
}

/// Everything of a load after the lock. On an error the caller removes the directory and what it holds, and links
/// that are not pinned go with their descriptors.
fn start(
    place: &Place,
    built: Built,
    setting: &Setting,
    door: TcDoor,
    interfaces: &[Interface],
) -> Result<Report, Error> {
    let begin = Instant::now();
    // A load or an unload that was killed may have left a part of itself.
    place.clear_holders()?;
    for number in place.generations()? {
        place::remove_dir(&place.generation(number))?;
    }
    for old in [place.root(), place.slots()] {
        weir_kernel::maps::unpin(&old)?;
    }
    let root = root::load(setting.hook, setting.frags, &setting.target)?;
    let (Some(program), Some(slots)) = (root.program(root::PROGRAM), root.map(root::SLOTS)) else {
        return Err(Error::Object("the root program is not in it".into()));
    };
    program.pin(&place.root())?;
    slots.pin(&place.slots())?;
    let made = make::successor(place, &built, setting, None, &mut |_| ())?;
    let load_us = microseconds(begin);
    let begin = Instant::now();
    let new = place.new_links();
    holders::attach_all(&new, program, (setting.hook, door), interfaces, &setting.target)?;
    // Only now, so that all interfaces begin at one instant. Filters also outlive a process that is killed before
    // this: then they let everything pass.
    slots.set_program(root::POLICY, &made.program)?;
    std::fs::rename(&new, place.links()).map_err(|error| Error::io("rename", new, error))?;
    pools::carry::ask_for_neighbours(&built.pools);
    let unreached = pools::ways::unreached(&built.pools, &setting.interfaces);
    Ok(Report { unreached, ..report(place.name(), built, made, load_us, microseconds(begin)) })
}

fn report(instance: &str, built: Built, made: make::Made, load_us: u64, swap_us: u64) -> Report {
    Report {
        instance: instance.to_owned(),
        generation: made.number,
        change: made.change,
        kept: made.kept,
        fresh: made.fresh,
        gone: made.gone,
        profile: None,
        instructions: built.instructions(),
        compile_us: built.microseconds,
        load_us,
        swap_us,
        unreached: Vec::new(),
        warnings: built.analysis.diagnostics,
        sources: built.analysis.sources,
    }
}

fn microseconds(since: Instant) -> u64 {
    since.elapsed().as_micros() as u64
}
