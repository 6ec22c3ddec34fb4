//! The switches under `/proc/sys`; those under `net` are the calling thread's namespace's.

use std::fs;
use std::path::PathBuf;

use crate::KernelError;

/// Reads a switch by its name with dots: `net.ipv4.ip_forward`.
pub fn read(name: &str) -> Result<String, KernelError> {
    let text =
        fs::read_to_string(path(name)).map_err(|source| KernelError::new("read sysctl", name, source))?;
    Ok(text.trim().to_owned())
}

/// Sets a switch by its name with dots. An interface's name with dots is written with slashes:
/// `net/ipv4/conf/eth0.100/rp_filter`.
pub fn write(name: &str, value: &str) -> Result<(), KernelError> {
    fs::write(path(name), value).map_err(|source| KernelError::new("write sysctl", name, source))
}

/// Turns forwarding on or off, for both families.
pub fn set_forwarding(on: bool) -> Result<(), KernelError> {
    let value = if on { "1" } else { "0" };
    write("net.ipv4.ip_forward", value)?;
    write("net.ipv6.conf.all.forwarding", value)
}

/// Sets the reverse path filter of an interface and of `all` (the larger of both counts): 0 off, 1 strict, 2 loose.
pub fn set_rp_filter(interface: &str, mode: u8) -> Result<(), KernelError> {
    write("net.ipv4.conf.all.rp_filter", &mode.to_string())?;
    write(&format!("net/ipv4/conf/{interface}/rp_filter"), &mode.to_string())
}

/// Turns IPv6 of an interface on or off: off keeps neighbour discovery and its chatter out of a measurement.
pub fn set_ipv6(interface: &str, on: bool) -> Result<(), KernelError> {
    write(&format!("net/ipv6/conf/{interface}/disable_ipv6"), if on { "0" } else { "1" })
}

/// Turns duplicate address detection of an interface on or off: off makes IPv6 addresses usable at once.
pub fn set_duplicate_address_detection(interface: &str, on: bool) -> Result<(), KernelError> {
    write(&format!("net/ipv6/conf/{interface}/accept_dad"), if on { "1" } else { "0" })
}

fn path(name: &str) -> PathBuf {
    let relative = if name.contains('/') { name.to_owned() } else { name.replace('.', "/") };
    PathBuf::from("/proc/sys").join(relative)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn dots_and_slashes() {
        assert_eq!(path("net.ipv4.ip_forward"), PathBuf::from("/proc/sys/net/ipv4/ip_forward"));
        assert_eq!(
            path("net/ipv4/conf/eth0.1/rp_filter"),
            PathBuf::from("/proc/sys/net/ipv4/conf/eth0.1/rp_filter")
        );
    }
}
