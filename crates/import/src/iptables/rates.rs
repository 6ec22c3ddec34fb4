//! `-m limit` and `-m hashlimit`.

use super::words::Opt;
use crate::rule::{Limit, rate};

/// What iptables assumes where a rule says nothing.
const BURST: u64 = 5;

/// What the options of one rule say about its rate.
#[derive(Debug, Default)]
pub(super) struct Rates {
    rate: Option<String>,
    above: bool,
    burst: Option<u64>,
    modes: Vec<String>,
    /// Prefix lengths of source and destination.
    masks: [Option<u8>; 2],
    max: Option<u64>,
    name: Option<String>,
}

impl Rates {
    /// Takes an option; gives whether it is one about rates.
    pub(super) fn take(&mut self, option: &Opt) -> Result<bool, String> {
        let value = option.values.first().map(String::as_str).unwrap_or_default();
        match option.name.as_str() {
            "--limit" | "--hashlimit-upto" | "--hashlimit" => {
                self.rate = Some(packets(value)?);
                self.above = option.negated;
            }
            "--hashlimit-above" => {
                self.rate = Some(packets(value)?);
                self.above = !option.negated;
            }
            "--limit-burst" | "--hashlimit-burst" => self.burst = Some(number(value)?),
            "--hashlimit-mode" => self.modes = value.split(',').map(str::to_owned).collect(),
            "--hashlimit-srcmask" => self.masks[0] = Some(number(value)? as u8),
            "--hashlimit-dstmask" => self.masks[1] = Some(number(value)? as u8),
            "--hashlimit-htable-max" => self.max = Some(number(value)?),
            "--hashlimit-name" => self.name = Some(value.to_owned()),
            // How its table is kept in memory, and when what is full again is forgotten.
            "--hashlimit-htable-size" | "--hashlimit-htable-expire" | "--hashlimit-htable-gcinterval" => {}
            _ => return Ok(false),
        }
        Ok(true)
    }

    pub(super) fn is_given(&self) -> bool {
        self.rate.is_some()
    }

    /// The name of a table of buckets.
    pub(super) fn shared_name(&self) -> Option<&str> {
        self.name.as_deref()
    }

    /// The bucket; `ip` is the family's name, `transport` that of the only header with ports.
    pub(super) fn limit(self, ip: &str, transport: Option<&str>) -> Result<Option<Limit>, String> {
        let Some(rate) = self.rate else { return Ok(None) };
        let mut per = Vec::new();
        for mode in self.modes.iter().filter(|mode| !mode.is_empty()) {
            per.push(match mode.as_str() {
                "srcip" => masked(ip, "src", self.masks[0]),
                "dstip" => masked(ip, "dst", self.masks[1]),
                "srcport" | "dstport" => {
                    let header = transport.ok_or("buckets by port need one protocol with ports (`-p`)")?;
                    format!("{header}.{mode}")
                }
                other => return Err(format!("`--hashlimit-mode {other}` is not known")),
            });
        }
        let (above, max) = (self.above, self.max);
        Ok(Some(Limit { above, rate, burst: self.burst.unwrap_or(BURST), per, max }))
    }
}

fn masked(ip: &str, side: &str, mask: Option<u8>) -> String {
    match mask {
        Some(length) => format!("{ip}.{side}/{length}"),
        None => format!("{ip}.{side}"),
    }
}

/// `10/sec`
fn packets(text: &str) -> Result<String, String> {
    let (amount, unit) = text.split_once('/').unwrap_or((text, "sec"));
    let amount: u64 =
        amount.parse().map_err(|_| format!("the rate `{text}` counts bytes of IP, Weir those of frames"))?;
    rate(amount, unit).ok_or_else(|| format!("the rate `{text}` is no whole number of packets an hour"))
}

fn number(text: &str) -> Result<u64, String> {
    text.parse().map_err(|_| format!("`{text}` is no number"))
}
