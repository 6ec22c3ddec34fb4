//! What a rule does: `-j` and `-g`.

use super::Aside;
use super::words::Word;
use crate::Kind;
use crate::rule::Target;

/// What a rule does with a packet, and how a statement differs.
#[derive(Debug)]
pub(super) struct Verdict {
    pub(super) target: Target,
    pub(super) changed: Option<String>,
}

/// From `-j` on; nothing if the rule only counts.
pub(super) fn read(words: &[Word]) -> Result<Verdict, Aside> {
    let [verb, name, ..] = words else {
        return Ok(Verdict { target: Target::Count, changed: None });
    };
    let plain = |target| Ok(Verdict { target, changed: None });
    match name.text.as_str() {
        chain if matches!(verb.text.as_str(), "-g" | "--goto") => plain(Target::Goto(chain.to_owned())),
        "ACCEPT" => plain(Target::Accept),
        "DROP" => plain(Target::Drop),
        "RETURN" => plain(Target::Return),
        "REJECT" => Ok(Verdict { target: Target::Drop, changed: Some(REJECTED.into()) }),
        other => match ASIDE.iter().find(|(own, ..)| *own == other) {
            Some((_, kind, why)) => Err((*kind, (*why).to_owned())),
            None if is_builtin(other) => {
                Err((Kind::Refused, format!("the target `{other}` has no counterpart")))
            }
            None => plain(Target::Jump(other.to_owned())),
        },
    }
}

pub(crate) const REJECTED: &str = "`reject` also answers the sender; the statement drops and says nothing";

/// Extensions are in capitals; chains may be, too, and these names are taken.
fn is_builtin(name: &str) -> bool {
    const OTHERS: [&str; 24] = [
        "AUDIT",
        "CHECKSUM",
        "CLASSIFY",
        "CLUSTERIP",
        "CONNMARK",
        "CONNSECMARK",
        "DNPT",
        "DSCP",
        "ECN",
        "HL",
        "HMARK",
        "IDLETIMER",
        "LED",
        "MARK",
        "QUEUE",
        "RATEEST",
        "SECMARK",
        "SNPT",
        "SYNPROXY",
        "TCPOPTSTRIP",
        "TEE",
        "TOS",
        "TPROXY",
        "TTL",
    ];
    OTHERS.contains(&name)
}

const MANGLES: &str = "Weir does not change packets or their marks";
const ROUTES: &str = "Weir does not translate or redirect";

const ASIDE: &[(&str, Kind, &str)] = &[
    ("LOG", Kind::Ignored, "it logs; `weir capture` records what a statement decides"),
    ("NFLOG", Kind::Ignored, "it logs; `weir capture` records what a statement decides"),
    ("ULOG", Kind::Ignored, "it logs; `weir capture` records what a statement decides"),
    ("TRACE", Kind::Ignored, "it traces; `weir replay --frames` tells the statement of every frame"),
    ("NOTRACK", Kind::Ignored, "Weir keeps no state of connections"),
    ("CT", Kind::Ignored, "Weir keeps no state of connections"),
    ("MARK", Kind::Refused, MANGLES),
    ("CONNMARK", Kind::Refused, MANGLES),
    ("TCPMSS", Kind::Refused, MANGLES),
    ("DSCP", Kind::Refused, MANGLES),
    ("TOS", Kind::Refused, MANGLES),
    ("TTL", Kind::Refused, MANGLES),
    ("HL", Kind::Refused, MANGLES),
    ("SET", Kind::Refused, "packets do not change Weir's sets; `weir set add` does"),
    ("DNAT", Kind::Refused, ROUTES),
    ("SNAT", Kind::Refused, ROUTES),
    ("MASQUERADE", Kind::Refused, ROUTES),
    ("REDIRECT", Kind::Refused, ROUTES),
    ("NETMAP", Kind::Refused, ROUTES),
    ("NFQUEUE", Kind::Refused, "Weir hands no packets to programs"),
    ("QUEUE", Kind::Refused, "Weir hands no packets to programs"),
];
