//! One walk over an `ExportTraceServiceRequest`:
//!
//! ```text
//! request  1 resource_spans { 1 resource { 1 attributes }  2 scope_spans { 1 scope { 1 name  3 attributes }  2 spans } }
//! span     1 trace_id  2 span_id  4 parent_span_id  5 name  7 start  8 end  9 attributes  11 events { 3 attributes }
//!          13 links { 4 attributes }  15 status { 3 code }  16 flags
//! ```
//! Fields come in any order, so a resource and a scope are read once for themselves and once for what is below them; that order also
//! decides which of several faults is reported. Looking for the scope first means a step to every span, each a wait for memory, so it is
//! taken on trust that the scope comes before its spans: where it does not, or anything else is wrong, the payload is read again with care.

use std::collections::HashMap;
use std::ops::Range;
use std::sync::{Mutex, MutexGuard, PoisonError};

use crate::evaluate::Scratch;
use crate::markers::Markers;
use crate::names::{Names, Seeded};
use crate::reader::{Cursor, FIXED32, FIXED64, LEN, Reason, Result, VARINT, malformed};
use crate::rows::{self, Span, Step, Summary};
use crate::table::{Goal, Limits, Table};
use crate::value::{Value, Values};

const fn len(number: u32) -> u32 {
    number << 3 | LEN
}

pub const RESOURCE_SPANS: u32 = len(1);
pub const RESOURCE: u32 = len(1);
pub const SCOPE_SPANS: u32 = len(2);
pub const SCOPE: u32 = len(1);
pub const SPANS: u32 = len(2);
const RESOURCE_ATTRIBUTES: u32 = len(1);
const SCOPE_NAME: u32 = len(1);
const SCOPE_ATTRIBUTES: u32 = len(3);
pub const TRACE_ID: u32 = len(1);
pub const SPAN_ID: u32 = len(2);
pub const PARENT_ID: u32 = len(4);
const NAME: u32 = len(5);
const START: u32 = 7 << 3 | FIXED64;
const END: u32 = 8 << 3 | FIXED64;
pub const ATTRIBUTES: u32 = len(9);
const EVENTS: u32 = len(11);
const EVENT_ATTRIBUTES: u32 = len(3);
const LINKS: u32 = len(13);
const LINK_ATTRIBUTES: u32 = len(4);
const STATUS: u32 = len(15);
const STATUS_CODE: u32 = 3 << 3 | VARINT;
const FLAGS: u32 = 16 << 3 | FIXED32;

const REMOTE: u32 = 0x300; // SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK and SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

/// What steers a scan, and the names it has seen.
pub struct Codec {
    pub table: Table,
    pub limits: Limits,
    pub markers: Markers,
    pub tool_call: memchr::memmem::Finder<'static>,
    pub enveloped: [memchr::memmem::Finder<'static>; 2], // one of them is in every envelope that tells something
    names: Mutex<Names>,
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
    pub fn new(table: Table, limits: Limits, markers: Vec<Vec<u8>>) -> Self {
        let names = Mutex::new(Names::new(limits.names_max, limits.name_bytes_max));
        let enveloped = [b"tool_call_id".as_slice(), br#"rror""#].map(memchr::memmem::Finder::new);
        Self {
            table,
            limits,
            markers: Markers::new(markers),
            tool_call: memchr::memmem::Finder::new(b"tool_call"),
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
            row: 0,
            service: b"",
            scope: b"",
        }
    }

    /// One span that is still in memory, with the step that it is: its attributes are ranges of `payload`, keys and values. None for no step.
    ///
    /// No columns of spans, steps and groups, for which nobody asks: what one span asked for and was answered alone.
    pub fn scan_one(&self, payload: &[u8], attributes: &[(Range<usize>, Value)], own: &Own<'_>) -> Option<One> {
        if own.span_id == 0 {
            return None;
        }
        let names = &mut self.names();
        let mut scanner = self.scanner(payload, names, true);
        (scanner.scope, scanner.service, scanner.alone) = (own.scope, own.service, true);
        for (key, value) in attributes {
            scanner.scratch.attribute(&self.table, payload, payload.get(key.clone()).unwrap_or_default(), *value);
        }
        let mut span = Span { span_id: own.span_id, start: own.start, end: own.end, status: own.status, ..Span::default() };
        scanner.evaluate(&mut span, &Head { trace_id: &[1; 16], span_id: b"", parent_id: b"", name: own.name });
        let step = span.step(0)?;
        let mut columns = scanner.columns;
        if !(columns.requests.is_empty() && columns.answers.is_empty()) {
            rows::settle(&span.pack(), &[step], &mut columns.requests, &mut columns.answers);
        }
        Some(One { span, step, requests: columns.requests, answers: columns.answers, texts: columns.texts })
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
}

pub(crate) struct Scanner<'a> {
    pub payload: &'a [u8],
    pub codec: &'a Codec,
    pub names: &'a mut Names,
    careful: bool,
    misplaced: bool, // a scope was met after spans of it
    pub alone: bool, // one span, so nothing comes twice
    pub values: Values<'a>,
    pub columns: Columns,
    pub scratch: Scratch<'a>,
    traces: HashMap<[u8; 16], u32, Seeded>,
    last_trace: ([u8; 16], u32), // an id of zeros is never valid
    steps: Vec<Step>,
    pub row: u32,
    pub service: &'a [u8],
    pub scope: &'a [u8],
}

/// What a span's own fields say; ranges are checked when the span is complete.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    trace_id: &'a [u8],
    span_id: &'a [u8],
    parent_id: &'a [u8],
    pub name: &'a [u8],
}

impl<'a> Scanner<'a> {
    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.payload.get(start..end).unwrap_or_default()
    }

    fn request(&mut self) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, 0, self.payload.len());
        while let Some(field) = cursor.next_field()? {
            if field.tag == RESOURCE_SPANS {
                self.resource_spans(field.start, field.end)?;
            }
        }
        Ok(())
    }

    fn resource_spans(&mut self, start: usize, end: usize) -> Result<()> {
        self.service = b"";
        let mut rank = None;
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == RESOURCE {
                self.resource(field.start, field.end, &mut rank)?;
            }
        }
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == SCOPE_SPANS {
                self.scope_spans(field.start, field.end)?;
            }
        }
        Ok(())
    }

    fn resource(&mut self, start: usize, end: usize, rank: &mut Option<i32>) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag != RESOURCE_ATTRIBUTES {
                continue;
            }
            let pair = self.values.key_value(field.start, field.end, 1)?;
            let Some(text) = pair.value.text(self.payload) else {
                continue;
            };
            let (_, entries) = self.codec.table.find(self.slice(pair.key_start, pair.key_end));
            for entry in entries.iter().filter(|entry| entry.goal == Goal::Service) {
                if rank.is_none_or(|rank| entry.rank < rank) {
                    *rank = Some(entry.rank);
                    self.service = text;
                }
            }
        }
        Ok(())
    }

    fn scope_spans(&mut self, start: usize, end: usize) -> Result<()> {
        self.scope = b"";
        if self.careful {
            let mut cursor = Cursor::new(self.payload, start, end);
            while let Some(field) = cursor.next_field()? {
                if field.tag == SCOPE {
                    self.scope(field.start, field.end)?;
                }
            }
        }
        let first = self.row;
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                SPANS => self.span(field.start, field.end)?,
                SCOPE if !self.careful => {
                    self.misplaced |= self.row > first;
                    self.scope(field.start, field.end)?;
                }
                _ => {}
            }
        }
        Ok(())
    }

    fn scope(&mut self, start: usize, end: usize) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                SCOPE_NAME => self.scope = self.slice(field.start, field.end),
                SCOPE_ATTRIBUTES => drop(self.values.key_value(field.start, field.end, 1)?),
                _ => {}
            }
        }
        Ok(())
    }

    fn span(&mut self, start: usize, end: usize) -> Result<()> {
        let mut span = Span::default();
        let mut head = Head { trace_id: b"", span_id: b"", parent_id: b"", name: b"" };
        self.scratch.clear();
        let mut cursor = Cursor::new(self.payload, start, end);
        loop {
            while let Some((start, end)) = cursor.next_short(ATTRIBUTES) {
                self.attribute(start, end)?;
            }
            if cursor.at_end() {
                break;
            }
            let at = cursor.pos;
            let tag = cursor.tag()?;
            if tag & 7 != LEN {
                match tag {
                    START => span.start = cursor.fixed64()?,
                    END => span.end = cursor.fixed64()?,
                    FLAGS => span.flags = if cursor.fixed32()? & REMOTE == REMOTE { rows::REMOTE_PARENT } else { 0 },
                    _ => cursor.skip(tag, at)?,
                }
                continue;
            }
            let (start, end) = cursor.content()?;
            match tag {
                ATTRIBUTES => self.attribute(start, end)?,
                TRACE_ID => head.trace_id = self.slice(start, end),
                SPAN_ID => head.span_id = self.slice(start, end),
                PARENT_ID => head.parent_id = self.slice(start, end),
                NAME => head.name = self.slice(start, end),
                EVENTS => self.values.attributes_only(start, end, EVENT_ATTRIBUTES)?,
                LINKS => self.values.attributes_only(start, end, LINK_ATTRIBUTES)?,
                STATUS => self.status(start, end, &mut span)?,
                _ => {}
            }
        }
        self.end_of_span(span, &head);
        Ok(())
    }

    #[inline]
    fn attribute(&mut self, start: usize, end: usize) -> Result<()> {
        let pair = self.values.key_value(start, end, 1)?;
        let key = self.slice(pair.key_start, pair.key_end);
        self.scratch.attribute(&self.codec.table, self.payload, key, pair.value);
        Ok(())
    }

    fn status(&self, start: usize, end: usize, span: &mut Span) -> Result<()> {
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == STATUS_CODE {
                // An enum is 32 bits wide; a code that is none of ours counts as unset.
                span.status = if matches!(field.value as u32, 1 | 2) { field.value as u8 } else { 0 };
            }
        }
        Ok(())
    }

    fn end_of_span(&mut self, mut span: Span, head: &Head<'a>) {
        let id = |bytes: &[u8]| <[u8; 8]>::try_from(bytes).map_or(0, u64::from_be_bytes);
        span.span_id = id(head.span_id);
        span.parent_id = id(head.parent_id);
        let trace_id = <[u8; 16]>::try_from(head.trace_id).unwrap_or_default();
        if trace_id == [0; 16] || span.span_id == 0 || !matches!(head.parent_id.len(), 0 | 8) {
            span.flags |= rows::INVALID_ID;
        } else {
            span.trace = self.trace(trace_id);
            self.evaluate(&mut span, head);
            self.steps.extend(span.step(self.row));
        }
        self.columns.spans.extend_from_slice(&span.pack());
        self.row += 1;
    }

    #[inline]
    fn trace(&mut self, id: [u8; 16]) -> u32 {
        if self.last_trace.0 != id {
            let ids = &mut self.columns.trace_ids;
            let index = *self.traces.entry(id).or_insert_with(|| {
                ids.push(id);
                (ids.len() - 1) as u32
            });
            self.last_trace = (id, index);
        }
        self.last_trace.1
    }

    fn finish(mut self) -> Columns {
        self.steps.sort_unstable_by_key(|step| step.order);
        let columns = &mut self.columns;
        rows::settle(&columns.spans, &self.steps, &mut columns.requests, &mut columns.answers);
        columns.steps.reserve(self.steps.len() * rows::STEP_BYTES);
        columns.step_rows.reserve(self.steps.len() * 4);
        let mut first = 0_u32;
        let mut signatures = Vec::new();
        for group in self.steps.chunk_by(|a, b| a.order.0 == b.order.0) {
            let count = group.len() as u32;
            columns.groups.extend_from_slice(&Summary::of(group, &mut signatures).pack(first));
            for step in group {
                columns.steps.extend_from_slice(&step.pack());
                columns.step_rows.extend_from_slice(&step.order.4.to_le_bytes());
            }
            first += count;
        }
        self.columns
    }
}
