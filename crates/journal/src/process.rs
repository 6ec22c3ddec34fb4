//! Who a process is.

use std::fs;

/// Its number alone is given again, after a restart of the machine quite likely: so the moment when it began, and which run of
/// the machine that was, are beside it. Nothing where there is no such process.
fn identity(process: u32) -> Option<String> {
    let boot = fs::read_to_string("/proc/sys/kernel/random/boot_id").ok()?;
    let status = fs::read_to_string(format!("/proc/{process}/stat")).ok()?;
    // The name before it, in parentheses, may hold anything. The moment is the 20th field behind that (proc_pid_stat(5)).
    let began = status.rsplit_once(')')?.1.split_whitespace().nth(19)?;
    Some(format!("{process} {began} {}", boot.trim()))
}

/// This process.
pub(crate) fn own() -> String {
    identity(std::process::id()).unwrap_or_default()
}

/// Whether it still runs.
pub(crate) fn runs(who: &str) -> bool {
    let process = who.split(' ').next().and_then(|number| number.parse().ok());
    process.and_then(identity).as_deref() == Some(who)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_process_is_more_than_its_number() {
        assert!(runs(&own()));
        let number = std::process::id();
        for who in ["", "1", &number.to_string(), &format!("{number} 1 x"), &format!("{} x", own())] {
            assert!(!runs(who), "{who}");
        }
    }
}
