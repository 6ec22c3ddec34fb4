//! `BPF_PROG_TEST_RUN`: programs on frames that never were on a wire.

use std::time::Duration;

use crate::KernelError;
use crate::program::{Program, ProgramKind};
use crate::sys::{self, Command};

/// How much a program may lengthen a frame: more than a page's headroom and tailroom hold.
const GROWTH: usize = 1024;

/// Words of `struct __sk_buff`, and which of them is the mark.
const SKB_WORDS: usize = 48;
const SKB_MARK: usize = 2;

/// `ETH_HLEN`: the kernel refuses shorter frames.
pub const MIN_FRAME: usize = 14;

/// `BPF_F_TEST_XDP_LIVE_FRAMES` (5.18): frames really leave, by XDP_TX, XDP_REDIRECT or XDP_PASS.
const LIVE_FRAMES: u32 = 1 << 1;

/// One test run.
#[derive(Clone, Copy, Debug)]
pub struct TestRun<'a> {
    /// The frame, from its Ethernet header; at least 14 bytes.
    pub frame: &'a [u8],
    /// How often. The frame is **not** restored in between.
    pub repeat: u32,
    /// The interface that the frame seems to come in by, if any: it must exist in this namespace.
    pub ingress: Option<u32>,
}

impl<'a> TestRun<'a> {
    /// One run of one frame that comes from nowhere.
    pub fn once(frame: &'a [u8]) -> Self {
        Self { frame, repeat: 1, ingress: None }
    }
}

/// What a test run answered.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Outcome {
    /// The program's (last) return code: `XDP_*`, `TC_ACT_*`.
    pub code: u32,
    /// The frame as the program left it.
    pub frame: Vec<u8>,
    /// The packet's mark as the program left it; nothing for XDP, whose frames have none.
    pub mark: Option<u32>,
    /// The mean time of a run, in whole nanoseconds, as the kernel measured it.
    pub duration: Duration,
}

/// Runs a program on one frame.
pub fn once(program: &Program, frame: &[u8]) -> Result<Outcome, KernelError> {
    test_run(program, &TestRun::once(frame))
}

/// Runs a program on one frame, as often as asked. Programs for XDP and tc.
pub fn test_run(program: &Program, run: &TestRun<'_>) -> Result<Outcome, KernelError> {
    let mut out = vec![0u8; run.frame.len() + GROWTH];
    let mut skb = [0u32; SKB_WORDS];
    let has_skb = program.kind() != ProgramKind::Xdp;
    let context = Context::new(program.kind(), run.frame.len(), run.ingress);
    let mut arguments = sys::TestRun {
        prog_fd: program.raw_fd() as u32,
        data_in: run.frame.as_ptr() as u64,
        data_size_in: run.frame.len() as u32,
        data_out: out.as_mut_ptr() as u64,
        data_size_out: out.len() as u32,
        repeat: run.repeat,
        ctx_in: context.address(),
        ctx_size_in: context.size(),
        ctx_out: if has_skb { skb.as_mut_ptr() as u64 } else { 0 },
        ctx_size_out: if has_skb { size_of_val(&skb) as u32 } else { 0 },
        ..sys::TestRun::default()
    };
    // SAFETY: frames and contexts, in and out, live through the call and are as large as stated.
    unsafe { sys::bpf_with_pointers(Command::ProgTestRun, &mut arguments) }
        .map_err(|source| KernelError::new("test-run program", format!("`{}`", program.name()), source))?;
    out.truncate(arguments.data_size_out as usize);
    Ok(Outcome {
        code: arguments.retval,
        frame: out,
        mark: has_skb.then_some(skb[SKB_MARK]),
        duration: Duration::from_nanos(arguments.duration.into()),
    })
}

/// Frames that really leave.
#[derive(Clone, Copy, Debug)]
pub struct LiveRun<'a> {
    /// The frame, from its Ethernet header; at least 14 bytes.
    pub frame: &'a [u8],
    /// How many frames.
    pub repeat: u32,
    /// Frames that go through together, at most 256; 0 is the kernel's choice (64).
    pub batch: u32,
    /// The interface that the frames seem to come in by: XDP_TX leaves there, XDP_PASS enters the stack there.
    pub ingress: u32,
}

/// Sends frames through an XDP program and lets its verdicts come true: an in-kernel generator of
/// 5 to 9 million frames a second. In the calling thread's namespace.
///
/// A frame that comes back to the kernel's page pool keeps what the program wrote into it.
///
/// Returns what a frame took by the kernel's clock, in whole nanoseconds, with what its way led to on this CPU. The
/// call itself takes some 25 ms more, in which the kernel makes the program ready and clears up.
pub fn live(program: &Program, run: &LiveRun<'_>) -> Result<Duration, KernelError> {
    let context = Context::new(program.kind(), run.frame.len(), Some(run.ingress));
    let mut arguments = sys::TestRun {
        prog_fd: program.raw_fd() as u32,
        data_in: run.frame.as_ptr() as u64,
        data_size_in: run.frame.len() as u32,
        repeat: run.repeat,
        ctx_in: context.address(),
        ctx_size_in: context.size(),
        flags: LIVE_FRAMES,
        batch_size: run.batch,
        ..sys::TestRun::default()
    };
    // SAFETY: frame and context live through the call and are as large as stated; nothing comes back.
    let answer = unsafe { sys::bpf_with_pointers(Command::ProgTestRun, &mut arguments) };
    answer.map_err(|source| {
        KernelError::new("send live frames through", format!("`{}`", program.name()), source)
    })?;
    Ok(Duration::from_nanos(arguments.duration.into()))
}

/// What the program sees beside the frame: `struct xdp_md` or `struct __sk_buff`, as words.
struct Context(Vec<u32>);

impl Context {
    fn new(kind: ProgramKind, frame_len: usize, ingress: Option<u32>) -> Self {
        let Some(ingress) = ingress else {
            return Self(Vec::new());
        };
        Self(match kind {
            // data, data_end, data_meta, ingress_ifindex, rx_queue_index, egress_ifindex
            ProgramKind::Xdp => vec![0, frame_len as u32, 0, ingress, 0, 0],
            // `ifindex` is the eleventh word of `__sk_buff`, after len … ingress_ifindex.
            _ => vec![0, 0, 0, 0, 0, 0, 0, 0, 0, 0, ingress],
        })
    }

    fn address(&self) -> u64 {
        if self.0.is_empty() { 0 } else { self.0.as_ptr() as u64 }
    }

    fn size(&self) -> u32 {
        size_of_val(self.0.as_slice()) as u32
    }
}
