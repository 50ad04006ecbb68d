//! One walk over an `ExportTraceServiceRequest`:
//!
//! ```text
//! request  1 resource_spans { 1 resource { 1 attributes }  2 scope_spans { 1 scope { 1 name  3 attributes }  2 spans } }
//! span     1 trace_id  2 span_id  4 parent_span_id  5 name  6 kind  7 start  8 end  9 attributes  10 dropped_attributes_count
//!          11 events { 2 name  3 attributes }  12 dropped_events_count  13 links { 4 attributes }  15 status { 3 code }  16 flags
//! ```
//! Fields come in any order, so a resource and a scope are read once for themselves and once for what is below them; that order also
//! decides which of several faults is reported. Looking for the scope first means a step to every span, each a wait for memory, so it is
//! taken on trust that the scope comes before its spans: where it does not, or anything else is wrong, the payload is read again with care.

use std::collections::HashMap;

use crate::candidates::Scratch;
use crate::codec::{Codec, Columns};
use crate::doubles::{self, Call};
use crate::groups::{self, Summary};
use crate::keys::{Goal, RuleSet};
use crate::names::{Names, Seeded};
use crate::reader::{Cursor, FIXED32, FIXED64, LEN, Result, VARINT};
use crate::rows::{self, Span, Step, TOOL};
use crate::value::Values;

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
const DROPPED_ATTRIBUTES: u32 = 10 << 3 | VARINT;
const EVENTS: u32 = len(11);
const EVENT_NAME: u32 = len(2);
const EVENT_ATTRIBUTES: u32 = len(3);
const DROPPED_EVENTS: u32 = 12 << 3 | VARINT;
const LINKS: u32 = len(13);
const LINK_ATTRIBUTES: u32 = len(4);
const STATUS: u32 = len(15);
const STATUS_CODE: u32 = 3 << 3 | VARINT;
const FLAGS: u32 = 16 << 3 | FIXED32;
const KIND: u32 = 6 << 3 | VARINT;
pub const SERVER: u32 = 2; // Span.SpanKind

const REMOTE: u32 = 0x300; // SPAN_FLAGS_CONTEXT_HAS_IS_REMOTE_MASK and SPAN_FLAGS_CONTEXT_IS_REMOTE_MASK

pub(crate) struct Scanner<'a> {
    pub payload: &'a [u8],
    pub codec: &'a Codec,
    pub names: &'a mut Names,
    pub careful: bool,
    pub misplaced: bool, // a scope was met after spans of it
    pub alone: bool,     // one span, so nothing comes twice
    pub values: Values<'a>,
    pub columns: Columns,
    pub scratch: Scratch<'a>,
    pub traces: HashMap<[u8; 16], u32, Seeded>,
    pub last_trace: ([u8; 16], u32), // an id of zeros is never valid
    pub steps: Vec<Step>,
    pub calls: Vec<Call>,
    pub row: u32,
    pub service: &'a [u8],
    pub scope: &'a [u8],
    pub rules: Option<(&'a [u8], RuleSet)>, // those of the scope of this name
}

/// What a span's own fields say; ranges are checked when the span is complete.
#[derive(Clone, Copy)]
pub(crate) struct Head<'a> {
    pub trace_id: &'a [u8],
    pub span_id: &'a [u8],
    pub parent_id: &'a [u8],
    pub name: &'a [u8],
}

impl<'a> Scanner<'a> {
    #[inline]
    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.payload.get(start..end).unwrap_or_default()
    }

    pub fn request(&mut self) -> Result<()> {
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
        let (first, steps) = (self.row, self.steps.len());
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
        let (name, overflow) = self.intern_name(self.scope);
        self.columns.overflow += u64::from(overflow);
        let steps = (self.steps.len() - steps) as u32;
        self.columns.scopes.extend_from_slice(&rows::pack_scope(name, self.row - first, steps));
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
        let (mut remote, mut server, mut dropped) = (0, 0, [0; 2]);
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
                    FLAGS => remote = if cursor.fixed32()? & REMOTE == REMOTE { rows::REMOTE_PARENT } else { 0 },
                    KIND => server = if cursor.varint()? as u32 == SERVER { rows::SERVER } else { 0 },
                    DROPPED_ATTRIBUTES => dropped[0] = cursor.varint()? as u32,
                    DROPPED_EVENTS => dropped[1] = cursor.varint()? as u32,
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
                EVENTS => self.event(start, end)?,
                LINKS => self.values.attributes_only(start, end, LINK_ATTRIBUTES)?,
                STATUS => self.status(start, end, &mut span)?,
                _ => {}
            }
        }
        span.flags = remote | server | if dropped == [0; 2] { 0 } else { rows::CUT };
        self.end_of_span(span, &head);
        Ok(())
    }

    #[inline]
    fn attribute(&mut self, start: usize, end: usize) -> Result<()> {
        let pair = self.values.key_value(start, end, 1)?;
        let key = self.slice(pair.key_start, pair.key_end);
        self.scratch.attribute(&self.codec.table, self.payload, self.scope, key, pair.value);
        Ok(())
    }

    /// Validates an event; of one that the table knows the attributes are read, once its name is.
    fn event(&mut self, start: usize, end: usize) -> Result<()> {
        if !self.codec.table.reads_events() {
            return self.values.attributes_only(start, end, EVENT_ATTRIBUTES);
        }
        let mut name: &[u8] = b"";
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                EVENT_NAME => name = self.slice(field.start, field.end),
                EVENT_ATTRIBUTES => drop(self.values.key_value(field.start, field.end, 1)?),
                _ => {}
            }
        }
        let Some(entries) = self.codec.table.event(name).and_then(|number| self.codec.table.event_entries(number)) else {
            return Ok(());
        };
        let mut cursor = Cursor::new(self.payload, start, end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == EVENT_ATTRIBUTES {
                let pair = self.values.key_value(field.start, field.end, 1)?;
                let key = self.slice(pair.key_start, pair.key_end);
                self.scratch.event_attribute(entries, self.payload, self.scope, key, pair.value);
            }
        }
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
            if let Some(step) = span.step(self.row) {
                self.add_step(&span, step);
            }
        }
        self.columns.spans.extend_from_slice(&span.pack());
        self.row += 1;
    }

    #[inline]
    fn add_step(&mut self, span: &Span, step: Step) {
        if step.kind == TOOL {
            let number = self.steps.len() as u32;
            self.calls.push(Call { step: number, trace: span.trace, span_id: span.span_id, parent_id: span.parent_id });
        }
        self.steps.push(step);
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

    pub fn finish(mut self) -> Columns {
        let gone = doubles::gone(&mut self.steps, &self.calls);
        let columns = &mut self.columns;
        rows::settle(&columns.spans, &self.steps, &mut columns.requests, &mut columns.answers);
        if !gone.is_empty() {
            let mut number = 0;
            self.steps.retain(|_| {
                number += 1;
                gone.binary_search(&(number - 1)).is_err()
            });
        }
        self.steps.sort_unstable_by_key(|step| step.order);
        columns.steps.reserve(self.steps.len() * rows::STEP_BYTES);
        columns.step_rows.reserve(self.steps.len() * 4);
        let mut first = 0_u32;
        let mut scratch = groups::Scratch::default();
        for group in self.steps.chunk_by(|a, b| a.order.0 == b.order.0) {
            let count = group.len() as u32;
            columns.groups.extend_from_slice(&Summary::of(group, &mut scratch).pack(first));
            for step in group {
                columns.steps.extend_from_slice(&step.pack());
                columns.step_rows.extend_from_slice(&step.order.4.to_le_bytes());
            }
            first += count;
        }
        self.columns
    }
}
