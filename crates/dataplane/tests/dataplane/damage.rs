//! What a host's stack found wrong with packets, by its own counters.

use weir_lab::Host;

/// Errors of the stack's own counting (RFC 4293 and Linux), by the file, the group and the name there. All of them
/// must stay zero wherever packets end.
const ERRORS: [(&str, &str, &str); 16] = [
    ("snmp", "Ip", "InHdrErrors"),
    ("snmp", "Ip", "InAddrErrors"),
    ("snmp", "Ip", "ReasmTimeout"),
    ("snmp", "Ip", "ReasmFails"),
    ("snmp", "Icmp", "InErrors"),
    ("snmp", "Icmp", "InCsumErrors"),
    ("snmp", "Tcp", "InErrs"),
    ("snmp", "Tcp", "InCsumErrors"),
    ("snmp", "Udp", "InErrors"),
    ("snmp", "Udp", "InCsumErrors"),
    ("snmp", "UdpLite", "InErrors"),
    ("snmp", "UdpLite", "InCsumErrors"),
    ("netstat", "IpExt", "InCsumErrors"),
    ("netstat", "IpExt", "InTruncatedPkts"),
    ("netstat", "IpExt", "InNoRoutes"),
    ("netstat", "TcpExt", "TCPMD5NotFound"),
];
const ERRORS6: [&str; 10] = [
    "Ip6InHdrErrors",
    "Ip6InAddrErrors",
    "Ip6InNoRoutes",
    "Ip6InTruncatedPkts",
    "Ip6ReasmTimeout",
    "Ip6ReasmFails",
    "Icmp6InErrors",
    "Icmp6InCsumErrors",
    "Udp6InErrors",
    "Udp6InCsumErrors",
];

/// Counters of errors of a host that are not zero, and those that are missing.
pub(crate) fn at(host: &Host) -> Vec<String> {
    let read = |file: &str| std::fs::read_to_string(format!("/proc/thread-self/net/{file}"));
    let texts = host.run(|| ["snmp", "netstat", "snmp6"].map(|file| read(file).expect("figures")));
    let [snmp, netstat, six] = texts.expect("the namespace");
    let four = ERRORS.iter().map(|(file, group, name)| {
        let text = if *file == "snmp" { &snmp } else { &netstat };
        (format!("{group}{name}"), in_groups(text, group, name))
    });
    let six = ERRORS6.iter().map(|name| ((*name).to_owned(), in_lines(&six, name)));
    let wrong = four.chain(six).filter(|(_, value)| *value != Some("0"));
    wrong.map(|(name, value)| format!("{name} {}", value.unwrap_or("missing"))).collect()
}

/// Of a line of names and one of values below it, each behind the group's name.
fn in_groups<'a>(text: &'a str, group: &str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().filter_map(|line| line.strip_prefix(group)?.strip_prefix(": "));
    let (names, values) = (lines.next()?, lines.next()?);
    values.split(' ').nth(names.split(' ').position(|word| word == name)?)
}

/// Of lines with a name and its value.
fn in_lines<'a>(text: &'a str, name: &str) -> Option<&'a str> {
    let mut lines = text.lines().map(|line| line.split_whitespace().collect::<Vec<_>>());
    lines.find(|words| words.len() == 2 && words[0] == name).map(|words| words[1])
}
