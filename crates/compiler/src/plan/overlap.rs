//! Statements that no packet reaches.

use super::Plan;
use crate::diagnostic::Diagnostics;
use crate::policy::Policy;

/// Warns of statements that can never match.
pub fn warnings(_policy: &Policy, _plan: &Plan, _diagnostics: &mut Diagnostics) {}
