use serde::{Deserialize, Serialize};
use weir_kernel::attach;

/// Where on its interfaces an instance sits.
#[derive(Clone, Copy, PartialEq, Eq, Hash, Debug, Serialize, Deserialize)]
#[serde(rename_all = "kebab-case")]
pub enum Hook {
    /// XDP in the driver.
    XdpNative,
    /// XDP in the stack: about three times slower, and only where it was asked for.
    XdpGeneric,
    /// tc, packets that come in.
    TcIngress,
    /// tc, packets that go out.
    TcEgress,
}

impl Hook {
    /// For the compiler.
    pub fn compiled(self) -> weir_compiler::Hook {
        match self {
            Self::XdpNative | Self::XdpGeneric => weir_compiler::Hook::Xdp,
            Self::TcIngress => weir_compiler::Hook::TcIngress,
            Self::TcEgress => weir_compiler::Hook::TcEgress,
        }
    }

    /// For the kernel.
    pub fn attached(self) -> attach::Hook {
        match self {
            Self::XdpNative => attach::Hook::XdpNative,
            Self::XdpGeneric => attach::Hook::XdpGeneric,
            Self::TcIngress => attach::Hook::TcIngress,
            Self::TcEgress => attach::Hook::TcEgress,
        }
    }

    /// Whether programs are of the XDP kind.
    pub fn is_xdp(self) -> bool {
        matches!(self, Self::XdpNative | Self::XdpGeneric)
    }
}

impl std::fmt::Display for Hook {
    fn fmt(&self, f: &mut std::fmt::Formatter<'_>) -> std::fmt::Result {
        self.attached().fmt(f)
    }
}
