//! OTLP bytes to columns and back: the native codec of `otel_ext.wire`. The modules know no Python; `python.rs` is the shim.
#![forbid(unsafe_code)]

pub mod codec;
pub mod doubles;
pub mod envelope;
pub mod evaluate;
pub mod finder;
pub mod flat;
pub mod groups;
pub mod markers;
pub mod messages;
pub mod names;
pub mod notes;
pub mod numbers;
pub mod places;
pub mod prints;
pub mod reader;
pub mod rewrite;
pub mod rows;
pub mod scan;
pub mod skim;
mod sources;
mod structured;
pub mod table;
mod unescape;
pub mod value;

#[cfg(feature = "python")]
mod memory;
#[cfg(feature = "python")]
mod python;
