//! All metrics by name. Names and units are Prometheus' conventions; `name` is that of the policy, as `instance` is what Prometheus
//! calls whom it scrapes.

use super::text::{Metric, counter, gauge};

pub(super) const BUILD: Metric = gauge("weir_build_info", "The version of Weir.", &["version"]);
pub(super) const UP: Metric =
    gauge("weir_policy_up", "Whether the policy runs and can be looked at.", &["name"]);
pub(super) const GENERATION: Metric = gauge("weir_policy_generation", "Goes up with each reload.", &["name"]);
pub(super) const ATTACHED: Metric = gauge(
    "weir_attachment_active",
    "Whether the policy's program still sits at the interface.",
    &["name", "interface", "hook"],
);

pub(super) const PACKETS: Metric = counter(
    "weir_statement_packets_total",
    "Packets that a statement applied to.",
    &["name", "statement", "verb"],
);
pub(super) const BYTES: Metric = counter(
    "weir_statement_bytes_total",
    "Bytes of the packets that a statement applied to, without FCS.",
    &["name", "statement", "verb"],
);
pub(super) const OVER: Metric = counter(
    "weir_statement_over_packets_total",
    "Packets over a statement's limit.",
    &["name", "statement", "verb"],
);
pub(super) const UNSENT: Metric = counter(
    "weir_statement_unsent_packets_total",
    "Packets that a statement did not send to a backend, by the reason.",
    &["name", "statement", "reason"],
);
pub(super) const EVICTIONS: Metric = counter(
    "weir_limit_evictions_total",
    "Buckets of limits that were taken from keys that still needed them.",
    &["name"],
);

pub(super) const ELEMENTS: Metric = gauge("weir_set_elements", "Elements of a set.", &["name", "set"]);
pub(super) const MOST_ELEMENTS: Metric =
    gauge("weir_set_max_elements", "How many elements a set can hold, of each family.", &["name", "set"]);

pub(super) const POOL_FLOWS: Metric =
    gauge("weir_pool_flows", "Flows that a pool remembers.", &["name", "pool"]);
pub(super) const POOL_UNSETTLED: Metric =
    gauge("weir_pool_unsettled_slots", "Slots of a pool that changed lately.", &["name", "pool"]);
pub(super) const POOL_MOVED: Metric = counter(
    "weir_pool_moved_flows_total",
    "Flows that had to move as their backend was down.",
    &["name", "pool"],
);
pub(super) const BACKEND_STATE: Metric = gauge(
    "weir_backend_state",
    "1 for the state that a backend is in: up, down or draining.",
    &["name", "pool", "backend", "state"],
);
pub(super) const BACKEND_WEIGHT: Metric =
    gauge("weir_backend_weight", "A backend's part of new flows.", &["name", "pool", "backend"]);
pub(super) const BACKEND_PACKETS: Metric = counter(
    "weir_backend_packets_total",
    "Packets for which a backend was picked.",
    &["name", "pool", "backend"],
);
pub(super) const BACKEND_BYTES: Metric =
    counter("weir_backend_bytes_total", "Bytes of these packets.", &["name", "pool", "backend"]);
pub(super) const BACKEND_FLOWS: Metric = counter(
    "weir_backend_flows_total",
    "Flows of TCP that began at a backend.",
    &["name", "pool", "backend"],
);

pub(super) const ONE_IN: Metric =
    gauge("weir_sample_one_in", "One in so many packets is sampled.", &["name", "statement"]);
pub(super) const SAMPLES: Metric =
    counter("weir_samples_total", "Samples that were taken.", &["name", "statement"]);
pub(super) const SAMPLES_LOST: Metric =
    counter("weir_samples_lost_total", "Samples that nobody read in time.", &["name", "statement"]);
pub(super) const DATAGRAMS: Metric =
    counter("weir_sflow_datagrams_total", "Datagrams that left for a collector.", &["name", "collector"]);
pub(super) const DATAGRAMS_FAILED: Metric = counter(
    "weir_sflow_failed_datagrams_total",
    "Datagrams that did not leave, or were answered with an error.",
    &["name", "collector"],
);

pub(super) const LEADS: Metric =
    gauge("weir_analyser_leads", "Whether the analyser is the one that decides.", &["name"]);
pub(super) const RECEIVED: Metric =
    counter("weir_analyser_datagrams_total", "Datagrams of sFlow that were read.", &["name"]);
pub(super) const RECEIVED_SAMPLES: Metric =
    counter("weir_analyser_samples_total", "Samples in these datagrams.", &["name"]);
pub(super) const RECEIVED_NOT: Metric = counter(
    "weir_analyser_problem_datagrams_total",
    "Datagrams that were lost, came again, are of strangers, malformed, or could not be handed on.",
    &["name", "problem"],
);

pub(super) const ATTACKS: Metric =
    counter("weir_attacks_total", "Attacks that were met, since the journal was begun.", &["name"]);
pub(super) const ATTACKS_RUNNING: Metric = gauge("weir_attacks_running", "Attacks that go on.", &["name"]);
pub(super) const ATTACK_PACKETS: Metric = gauge(
    "weir_attack_packets_per_second",
    "The highest rate of an attack that goes on, at least.",
    &["name", "attack", "victim"],
);
pub(super) const MITIGATIONS_FOUND: Metric =
    counter("weir_mitigations_total", "Mitigations that were found, since the journal was begun.", &["name"]);
pub(super) const MITIGATIONS: Metric = gauge(
    "weir_mitigations_standing",
    "Mitigations by how far they have come: found, shadow or enforced.",
    &["name", "state"],
);
pub(super) const HITS: Metric = counter(
    "weir_mitigation_hits_total",
    "Packets that a mitigation that stands was hit by.",
    &["name", "mitigation", "cause"],
);

pub(super) const EVENTS: Metric =
    counter("weir_protection_events_total", "What the protection saw and did.", &["name"]);
pub(super) const JOURNAL_LOST: Metric =
    counter("weir_journal_lost_total", "Events and captures that are in no journal.", &["name"]);
pub(super) const JOURNAL_FAILURES: Metric =
    counter("weir_journal_failures_total", "How often the journal could not be written.", &["name"]);
pub(super) const HOOK_MESSAGES: Metric = counter(
    "weir_hook_messages_total",
    "Events for a hook, by what became of them: sent, failed or lost.",
    &["name", "hook", "result"],
);
