//! What nftables is told.

use weir_lab::Lab;

use super::edges::{SERVERS, SERVICE};
use crate::Failure;

/// Backends are numbered from 0.
fn each(of: impl Fn(u8) -> String) -> String {
    let entries: Vec<String> =
        (1..=SERVERS).map(|server| format!("{} : {}", server - 1, of(server))).collect();
    entries.join(", ")
}

/// Another destination for each connection, which is tracked from then on.
pub(super) fn nat() -> String {
    let backends = each(|server| format!("10.2.{server}.2"));
    format!(
        "table ip balance {{
    chain prerouting {{
        type nat hook prerouting priority dstnat;
        ip daddr {SERVICE} dnat to jhash ip saddr . th sport mod {SERVERS} map {{ {backends} }}
    }}
}}
"
    )
}

/// Frames with new MAC addresses, before the stack has looked at them.
pub(super) fn forward(lab: &Lab, number: usize) -> Result<String, Failure> {
    let mut text = "table netdev balance {\n".to_owned();
    for server in 1..=SERVERS {
        let out = format!("e{number}-out{server}");
        let interface = lab.host("edge")?.interface(&out)?;
        let (own, peer) = (interface.mac, interface.peer);
        text += &format!(
            "    chain to{server} {{\n        ether saddr set {own} ether daddr set {peer} fwd to \"{out}\"\n    }}\n"
        );
    }
    let chains = each(|server| format!("goto to{server}"));
    text += &format!(
        "    chain ingress {{
        type filter hook ingress device \"e{number}-in\" priority 0;
        ip daddr {SERVICE} jhash ip saddr . th sport mod {SERVERS} vmap {{ {chains} }}
    }}
}}
"
    );
    Ok(text)
}
