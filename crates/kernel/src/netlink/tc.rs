//! clsact and `cls_bpf`: the door to tc before tcx (6.6).

use netlink_packet_core::{NLM_F_CREATE, NLM_F_ECHO, NLM_F_EXCL};
use netlink_packet_route::tc::{
    TcAttribute, TcBpfFlags, TcFilterBpfOption, TcHandle, TcHeader, TcMessage, TcOption,
};
use netlink_packet_route::{AddressFamily, RouteNetlinkMessage};

use super::link::quoted;
use super::{Interface, Netlink};
use crate::KernelError;
use crate::program::Program;

/// `ETH_P_ALL`, in the order of the network as tc wants it in the lower half of `tcm_info`.
const ALL_PROTOCOLS: u16 = 0x0003u16.to_be();

/// One way through an interface's clsact.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(crate) enum Way {
    In,
    Out,
}

/// A `cls_bpf` filter.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(crate) struct Filter {
    pub(crate) way: Way,
    pub(crate) priority: u16,
    pub(crate) handle: u32,
    pub(crate) program_id: u32,
}

impl Netlink {
    /// Makes the clsact qdisc; that it is there already is fine. True if it was made.
    pub(crate) fn ensure_clsact(&mut self, interface: &Interface) -> Result<bool, KernelError> {
        let header = TcHeader {
            index: interface.index as i32,
            handle: TcHandle { major: u16::MAX, minor: 0 },
            parent: TcHandle::CLSACT,
            ..TcHeader::default()
        };
        let message = TcMessage::from_parts(header, vec![TcAttribute::Kind("clsact".to_owned())]);
        let message = RouteNetlinkMessage::NewQueueDiscipline(message);
        let about = quoted(&interface.name);
        match self.request("add clsact to", &about, message, NLM_F_CREATE | NLM_F_EXCL) {
            Ok(_) => Ok(true),
            Err(error) if error.errno() == libc::EEXIST => Ok(false),
            Err(error) => Err(error),
        }
    }

    /// Adds a filter in direct action, and answers the priority and handle that the kernel chose.
    pub(crate) fn add_filter(
        &mut self,
        interface: &Interface,
        way: Way,
        program: &Program,
        priority: u16,
    ) -> Result<Filter, KernelError> {
        let message = filter_message(interface, way, priority, 0, Some(program));
        let flags = NLM_F_CREATE | NLM_F_EXCL | NLM_F_ECHO;
        let message = RouteNetlinkMessage::NewTrafficFilter(message);
        let answers = self.request("add filter to", &quoted(&interface.name), message, flags)?;
        let made = answers.iter().find_map(read_filter);
        made.ok_or_else(|| {
            let source = std::io::Error::from_raw_os_error(libc::ENOENT);
            KernelError::new("find the new filter of", quoted(&interface.name), source)
        })
    }

    /// Swaps a filter's program: every packet meets the old or the new one.
    pub(crate) fn replace_filter(
        &mut self,
        interface: &Interface,
        filter: &Filter,
        program: &Program,
    ) -> Result<(), KernelError> {
        let message = filter_message(interface, filter.way, filter.priority, filter.handle, Some(program));
        let message = RouteNetlinkMessage::NewTrafficFilter(message);
        self.request("replace filter of", &quoted(&interface.name), message, 0).map(drop)
    }

    /// Removes a filter.
    pub(crate) fn delete_filter(
        &mut self,
        interface: &Interface,
        filter: &Filter,
    ) -> Result<(), KernelError> {
        let message = filter_message(interface, filter.way, filter.priority, filter.handle, None);
        let message = RouteNetlinkMessage::DelTrafficFilter(message);
        self.request("remove filter from", &quoted(&interface.name), message, 0).map(drop)
    }

    /// The `cls_bpf` filters of one way; none where there is no clsact.
    pub(crate) fn filters(&mut self, interface: &Interface, way: Way) -> Result<Vec<Filter>, KernelError> {
        let header = TcHeader { index: interface.index as i32, parent: way.parent(), ..TcHeader::default() };
        let message = RouteNetlinkMessage::GetTrafficFilter(TcMessage::from_parts(header, Vec::new()));
        match self.dump("list filters of", &quoted(&interface.name), message) {
            Ok(answers) => Ok(answers.iter().filter_map(read_filter).collect()),
            // Without clsact there is no such parent.
            Err(error) if matches!(error.errno(), libc::EINVAL | libc::ENOENT) => Ok(Vec::new()),
            Err(error) => Err(error),
        }
    }
}

impl Way {
    fn parent(self) -> TcHandle {
        let minor = match self {
            Self::In => TcHandle::MIN_INGRESS,
            Self::Out => TcHandle::MIN_EGRESS,
        };
        TcHandle { major: u16::MAX, minor }
    }

    fn from_parent(parent: &TcHandle) -> Option<Self> {
        [Self::In, Self::Out].into_iter().find(|way| way.parent() == *parent)
    }
}

fn filter_message(
    interface: &Interface,
    way: Way,
    priority: u16,
    handle: u32,
    program: Option<&Program>,
) -> TcMessage {
    let header = TcHeader {
        family: AddressFamily::Unspec,
        index: interface.index as i32,
        handle: TcHandle::from(handle),
        parent: way.parent(),
        info: u32::from(priority) << 16 | u32::from(ALL_PROTOCOLS),
    };
    let mut attributes = vec![TcAttribute::Kind("bpf".to_owned())];
    if let Some(program) = program {
        attributes.push(TcAttribute::Options(vec![
            TcOption::Bpf(TcFilterBpfOption::ProgFd(program.raw_fd() as u32)),
            TcOption::Bpf(TcFilterBpfOption::ProgName(program.name().to_owned())),
            TcOption::Bpf(TcFilterBpfOption::Flags(TcBpfFlags::DirectAction)),
        ]));
    }
    TcMessage::from_parts(header, attributes)
}

fn read_filter(answer: &RouteNetlinkMessage) -> Option<Filter> {
    let RouteNetlinkMessage::NewTrafficFilter(message) = answer else {
        return None;
    };
    let program_id = message.attributes.iter().find_map(|attribute| match attribute {
        TcAttribute::Options(options) => options.iter().find_map(|option| match option {
            TcOption::Bpf(TcFilterBpfOption::ProgId(id)) => Some(*id),
            _ => None,
        }),
        _ => None,
    })?;
    Some(Filter {
        way: Way::from_parent(&message.header.parent)?,
        priority: (message.header.info >> 16) as u16,
        handle: message.header.handle.into(),
        program_id,
    })
}
