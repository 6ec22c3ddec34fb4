//! How others hear of it: a command or a webhook for each event, and a page of metrics.
//!
//! Nothing here knows what it tells. Whoever tells something never waits: each hook has a thread and a short queue, the page
//! has a thread of its own, and what others do with it has bounds in time and number.
//!
//! | module | what |
//! |---|---|
//! | `hooks` | queues, and what became of messages |
//! | `command` | a command that is run for a message |
//! | `webhook` | a message by HTTP `POST` |
//! | `page` | a page that Prometheus scrapes |

mod command;
mod hooks;
mod page;
mod webhook;

pub use hooks::{Hooks, Message, Status, Watch};
pub use page::Page;
