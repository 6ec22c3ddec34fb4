//! Traffic by destination, and alerts where it is too much: floods, amplification, reflection, carpets, pulses.
//!
//! [`Detector`] takes samples and time and gives events. Nothing here reads a clock.
//!
//! # From samples to rates
//! A sample that was taken one in w stands for w frames; each brings its own w, so sampling may change at any time. Sums of
//! weights over a tenth of a second, one and ten ([`Tally`]) are kept for each host, for the prefixes above it and for the
//! services of the configuration, with their variance ([`Estimate`]).
//!
//! # From rates to alerts
//! An alert takes a horizon of at least [`Config::samples`] samples whose lower bound (three standard deviations) is above
//! both a floor and six times what is usual, or above a capacity. It ends when no horizon was above half of that for half
//! a minute, so attacks in pulses are one alert. A prefix or a service has one only for what no host in it explains, and a host that is a service has it under the
//! service's name.
//!
//! Latency: 50,000 packets a second, sampled one in 100, are 500 samples a second, and the floor of 20,000 is passed with
//! confidence by 36 of them, which come in 72 ms. With a tick every 20 ms, half of 2,000 such attacks at random were told of
//! within 81 ms of their first packet, 99 % within 124 ms.
//!
//! # What is usual
//! The peaks of each hour of a week ([`Learnt`] keeps them over a restart), of destinations that come near a floor. What
//! has to do with an alert is never learnt, medians of days are used and not means, and no day counts for more than a
//! quarter above the days before it: an attacker who raises the rate slowly has an alert at six times that. Where nothing is
//! known, the floor alone decides.
//!
//! # Memory
//! Bounded by the configuration, whatever the traffic: [`Tally::bound`] for hosts and windows, 1.5 KiB a baseline, 5 KiB an
//! alert; 55 MiB at most in all by default. Destinations beyond take each other's places, those with little traffic first;
//! sources are counted for alerts only.
//!
//! Of 262,144 hosts each has a line of 64 bytes, and 16,384 have windows of 704. Where there are more hosts than that, those without
//! are at rest: one of them gets the windows of another that has less as soon as a second brings it a fiftieth of what an
//! alert takes, and is told of some ten milliseconds later than if it had had them.

mod alert;
mod baseline;
mod carpet;
mod clock;
mod config;
mod detector;
mod entry;
mod estimate;
mod flow;
mod judge;
mod learning;
mod observing;
mod prefix;
mod row;
mod services;
mod shape;
mod sources;
mod suspicion;
mod table;
mod tally;
mod window;

pub use alert::{Alert, Event, Victim};
pub use baseline::Learnt;
pub use config::{Config, Level, Rate, Service};
pub use detector::Detector;
pub use estimate::Estimate;
pub use flow::{Flow, Kind};
pub use prefix::{NotAPrefix, Prefix};
pub use sources::Sources;
pub use tally::Tally;
