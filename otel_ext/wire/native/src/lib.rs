//! OTLP bytes to columns and back: the native codec of `otel_ext.wire`. The modules know no Python; `python.rs` is the shim.
#![forbid(unsafe_code)]

pub mod envelope;
pub mod evaluate;
pub mod finder;
pub mod flat;
pub mod markers;
pub mod messages;
pub mod names;
pub mod reader;
pub mod rewrite;
pub mod rows;
pub mod scan;
pub mod skim;
mod sources;
pub mod table;
mod unescape;
pub mod value;

#[cfg(feature = "python")]
mod memory;
#[cfg(feature = "python")]
mod python;
