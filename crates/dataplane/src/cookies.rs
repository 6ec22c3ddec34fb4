//! Whether the host's own stack takes the SYN cookies that programs make.

use weir_compiler::Analysis;
use weir_compiler::diagnostic::Code;
use weir_compiler::policy::Action;
use weir_kernel::sysctl;

/// 0: cookies are neither made nor taken. 1: they are made while a socket's queue is full. 2: always.
const SETTING: &str = "net.ipv4.tcp_syncookies";

/// Tells of the first statement that answers with cookies, if this host does not.
pub(crate) fn tell(analysis: &mut Analysis) {
    let mut statements = analysis.policy.statements.iter();
    let answers = statements.find(|one| matches!(one.action, Action::Syncookie) && !one.shadow);
    let Some(span) = answers.map(|statement| statement.span) else { return };
    let always = format!("`sysctl -w {SETTING}=2`");
    match sysctl::read(SETTING).as_deref() {
        Ok("2") => {}
        Ok("1") => {
            let message = "SYNs are answered only while their socket's queue is full; until then they go on";
            let told = analysis.diagnostics.report(Code::CookiesLate, span, message);
            told.label(format!("`{SETTING}` is 1")).help(format!("to answer all of them: {always}"));
        }
        Ok(off) => {
            let message = "this host takes no SYN cookies";
            let told = analysis.diagnostics.report(Code::Unsupported, span, message);
            told.label(format!("`{SETTING}` is {off}")).help(always);
        }
        Err(error) => {
            let message = "this host's kernel knows no SYN cookies";
            analysis.diagnostics.report(Code::Unsupported, span, message).label(error.to_string());
        }
    }
}
