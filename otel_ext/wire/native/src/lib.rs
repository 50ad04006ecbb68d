//! OTLP bytes to columns and back: the native codec of `otel_ext.wire`. The modules know no Python; `python.rs` is the shim, `memory.rs` reads
//! a span that is still in memory.
//!
//! ```text
//! bytes      reader (fields)  value (attributes)  scan (one walk)  rewrite (splice, project)
//! a span     candidates (what the key table wants)  evaluate (to a row)  sources (texts, requests, answers)  telling (what is no column)
//! JSON       skim  unescape  places (paths)  messages, roles (chats)  envelope (results)  structured (values as JSON)
//! the table  keys (entries, rules)  table (lookup)  flat (keys with an index)  markers, prints (what texts are like)  names (interned)
//! the end    rows (packed)  doubles (one call, one step)  groups (what the steps of a trace come to)  codec (holds it together)
//! ```
//!
//! Each has a twin in Python beside it, which is the reference; `tests/wire` and `tests/fuzz` hold both to the same answers.
#![forbid(unsafe_code)]

pub mod candidates;
pub mod codec;
pub mod doubles;
pub mod envelope;
pub mod evaluate;
pub mod finder;
pub mod flat;
pub mod groups;
pub mod keys;
pub mod markers;
pub mod messages;
pub mod names;
pub mod notes;
pub mod numbers;
pub mod places;
pub mod prints;
pub mod reader;
pub mod rewrite;
mod roles;
pub mod rows;
pub mod scan;
pub mod skim;
mod sources;
mod structured;
pub mod table;
mod telling;
mod unescape;
pub mod value;

#[cfg(feature = "python")]
mod memory;
#[cfg(feature = "python")]
mod python;
