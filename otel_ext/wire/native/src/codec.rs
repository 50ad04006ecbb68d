//! What steers a scan, and what comes out of one: a whole payload's columns, or one span that is still in memory.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use memchr::memmem::Finder;

use crate::candidates::Scratch;
use crate::keys::RuleSet;
use crate::markers::Markers;
use crate::messages::GUARDS;
use crate::names::{Names, Seeded};
use crate::prints::Claims;
use crate::reader::{Reason, Result, malformed};
use crate::rows::{self, Span, Step};
use crate::scan::{Head, SERVER, Scanner};
use crate::table::{Limits, Table};
use crate::value::{Value, Values};

/// What steers a scan, and the names it has seen.
pub struct Codec {
    pub table: Table,
    pub limits: Limits,
    pub markers: Markers,
    pub no_tool: Markers,
    pub claims: Claims,
    pub answered: [Finder<'static>; GUARDS.len()], // one of them is in every answer
    pub enveloped: [Finder<'static>; 2],           // one of them is in every envelope that tells something
    names: Mutex<Names>,
    last_scope: Mutex<(Vec<u8>, RuleSet)>, // of a span in memory, with its name rules: the spans of a scope mostly come in a row
    seed: Seeded,
}

#[derive(Debug, PartialEq, Eq)]
pub enum Text {
    One(String),
    Many(Vec<String>),
}

/// The columns, as the bytes that Python gets.
#[derive(Debug, Default)]
pub struct Columns {
    pub spans: Vec<u8>,
    pub steps: Vec<u8>,
    pub step_rows: Vec<u8>,
    pub groups: Vec<u8>,
    pub requests: Vec<u8>,
    pub answers: Vec<u8>,
    pub declared: Vec<u8>,
    pub scopes: Vec<u8>,
    pub trace_ids: Vec<[u8; 16]>,
    pub texts: Vec<(u32, i32, Text)>,
    pub overflow: u64,
}

impl Codec {
    pub fn new(table: Table, limits: Limits, [markers, no_tool]: [Vec<Vec<u8>>; 2], claims: &[Vec<u8>]) -> Self {
        let names = Mutex::new(Names::new(limits.names_max, limits.name_bytes_max));
        let enveloped = [b"tool_call_id".as_slice(), br#"rror""#].map(Finder::new);
        let last_scope = Mutex::new((Vec::new(), table.rules_of(b"")));
        Self {
            last_scope,
            table,
            limits,
            markers: Markers::new(markers),
            no_tool: Markers::new(no_tool),
            claims: Claims::new(claims),
            answered: GUARDS.map(Finder::new),
            enveloped,
            names,
            seed: Seeded::default(),
        }
    }

    pub fn names(&self) -> MutexGuard<'_, Names> {
        self.names.lock().unwrap_or_else(PoisonError::into_inner)
    }

    /// The columns of `payload`.
    pub fn scan(&self, payload: &[u8]) -> Result<Columns> {
        if u32::try_from(payload.len()).is_err() {
            return malformed(Reason::Size(payload.len()), 0);
        }
        let names = &mut self.names();
        let known = names.count();
        if let Some(columns) = self.read(payload, names, false)? {
            return Ok(columns);
        }
        names.truncate(known); // so that they are numbered in the order of the second reading
        Ok(self.read(payload, names, true)?.unwrap_or_default())
    }

    fn scanner<'a>(&'a self, payload: &'a [u8], names: &'a mut Names, careful: bool) -> Scanner<'a> {
        Scanner {
            payload,
            codec: self,
            names,
            careful,
            misplaced: false,
            alone: false,
            values: Values { payload, depth_max: self.limits.depth_max },
            columns: Columns::default(),
            scratch: Scratch::default(),
            traces: HashMap::with_hasher(self.seed),
            last_trace: ([0; 16], 0),
            steps: Vec::new(),
            calls: Vec::new(),
            row: 0,
            service: b"",
            scope: b"",
            rules: None,
        }
    }

    fn rules_of(&self, scope: &[u8]) -> RuleSet {
        let mut last = self.last_scope.lock().unwrap_or_else(PoisonError::into_inner);
        if last.0 != scope {
            *last = (scope.to_vec(), self.table.rules_of(scope));
        }
        last.1
    }

    /// One span that is still in memory, with the step that it is: its attributes are ranges of `payload`, keys and values. None for no step.
    ///
    /// No columns of spans, steps and groups, for which nobody asks: what one span asked for and was answered alone.
    pub fn scan_one(&self, payload: &[u8], attributes: &[Attribute], own: &Own<'_>) -> Option<One> {
        if own.span_id == 0 {
            return None;
        }
        let names = &mut self.names();
        let mut scanner = self.scanner(payload, names, true);
        (scanner.scope, scanner.service, scanner.alone) = (own.scope, own.service, true);
        scanner.rules = Some((own.scope, self.rules_of(own.scope)));
        for Attribute { event, key, value } in attributes {
            let key = payload.get(key.clone()).unwrap_or_default();
            match event {
                Some(event) => {
                    if let Some(entries) = self.table.event_entries(*event) {
                        scanner.scratch.event_attribute(entries, payload, own.scope, key, *value);
                    }
                }
                None => scanner.scratch.attribute(&self.table, payload, own.scope, key, *value),
            }
        }
        let mut span = Span { span_id: own.span_id, start: own.start, end: own.end, status: own.status, ..Span::default() };
        span.parent_id = own.parent_id;
        span.flags = if own.cut { rows::CUT } else { 0 } | if own.kind == SERVER { rows::SERVER } else { 0 };
        scanner.evaluate(&mut span, &Head { trace_id: &[1; 16], span_id: b"", parent_id: b"", name: own.name });
        let step = span.step(0)?;
        let mut columns = scanner.columns;
        if !(columns.requests.is_empty() && columns.answers.is_empty()) {
            rows::settle(&span.pack(), &[step], &mut columns.requests, &mut columns.answers);
        }
        Some(One { span, step, requests: columns.requests, answers: columns.answers, texts: columns.texts, declared: columns.declared })
    }

    /// The columns; None where that needs more care.
    fn read(&self, payload: &[u8], names: &mut Names, careful: bool) -> Result<Option<Columns>> {
        let mut scanner = self.scanner(payload, names, careful);
        scanner.columns.spans.reserve(payload.len() / 2);
        let outcome = scanner.request();
        if !careful && (scanner.misplaced || outcome.is_err()) {
            return Ok(None);
        }
        outcome.map(|()| Some(scanner.finish()))
    }
}

/// What was read of one span in memory.
pub struct One {
    pub span: Span,
    pub step: Step,
    pub requests: Vec<u8>,
    pub answers: Vec<u8>,
    pub texts: Vec<(u32, i32, Text)>,
    pub declared: Vec<u8>,
}

/// An attribute of a span in memory, or of the event with that number in the table: its key and value are ranges of a buffer.
pub struct Attribute {
    pub event: Option<usize>,
    pub key: Range<usize>,
    pub value: Value,
}

/// What a span in memory says of itself, but for its trace: which one is the caller's business.
pub struct Own<'a> {
    pub name: &'a [u8],
    pub scope: &'a [u8],
    pub service: &'a [u8],
    pub span_id: u64,
    pub start: u64,
    pub end: u64,
    pub status: u8,
    pub parent_id: u64,
    pub kind: u32, // Span.kind
    pub cut: bool, // attributes or events were dropped
}
