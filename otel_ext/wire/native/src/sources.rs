//! What a model call answered and asked for, and what it was told: from whichever source of the span yields it first.

use memchr::memchr;

use crate::candidates::Source;
use crate::codec::{Codec, Columns};
use crate::flat::{self, Part};
use crate::keys::Goal;
use crate::messages::Messages;
use crate::names::{Names, hash};
use crate::rows::{self, AGENT, ANSWER_BYTES, EMBEDDING, LLM, REQUEST_BYTES, Span, pack_answer, pack_request};
use crate::scan::Scanner;
use crate::skim::Json;
use crate::structured::put_json;
use crate::unescape::unescape;
use crate::value::{Member, Value};

const REFUSAL_BYTES_MAX: usize = 256;
const GUARDED_BYTES_MIN: usize = 512; // what is shorter is read as fast as it is searched

/// All `pieces` together; one alone is not copied.
fn join<'p>(pieces: impl Iterator<Item = &'p [u8]>, buffer: &'p mut Vec<u8>) -> &'p [u8] {
    buffer.clear();
    let mut single: &[u8] = b"";
    for piece in pieces.filter(|piece| !piece.is_empty()) {
        if single.is_empty() {
            single = piece;
            continue;
        }
        if buffer.is_empty() {
            buffer.extend_from_slice(single);
        }
        buffer.extend_from_slice(piece);
    }
    if buffer.is_empty() { single } else { buffer }
}

/// The hash of an id: a string without its escapes, so that it equals the same id in an attribute.
pub(crate) fn id_hash(id: Option<Json>) -> u64 {
    match id {
        Some(json) if json.is_string && memchr(b'\\', json.raw).is_some() => hash(&unescape(json.raw)),
        Some(json) => hash(json.raw),
        None => 0,
    }
}

fn intern_json(names: &mut Names, raw: &[u8]) -> (u16, bool) {
    if memchr(b'\\', raw).is_some() { names.intern(&unescape(raw)) } else { names.intern(raw) }
}

fn refused(codec: &Codec, response: &[u8]) -> bool {
    codec.markers.any_in(response.get(..REFUSAL_BYTES_MAX).unwrap_or(response))
}

/// Whether the result of a call says that there is nothing to call.
pub(crate) fn says_no_such_tool(codec: &Codec, result: &[u8]) -> bool {
    codec.no_tool.any_in(result.get(..REFUSAL_BYTES_MAX).unwrap_or(result))
}

/// Appends the rows of one span, up to its limits; the rest is counted.
struct Sink<'s> {
    codec: &'s Codec,
    columns: &'s mut Columns,
    names: &'s mut Names,
    row: u32,
    left: usize,
    met: bool, // also where there was no room
}

impl Sink<'_> {
    fn full(&mut self) -> bool {
        self.met = true;
        if self.left == 0 {
            self.columns.overflow += 1;
            return true;
        }
        self.left -= 1;
        false
    }

    fn request(&mut self, tool: impl FnOnce(&mut Names) -> (u16, bool), call_id: u64, arguments: &[u8]) {
        if self.full() {
            return;
        }
        let (tool, overflow) = tool(self.names);
        self.columns.overflow += u64::from(overflow);
        self.columns.requests.extend_from_slice(&pack_request(self.row, tool, call_id, hash(arguments)));
    }

    fn answer(&mut self, call_id: u64, response: &[u8]) {
        if self.full() {
            return;
        }
        let refused = refused(self.codec, response);
        self.columns.answers.extend_from_slice(&pack_answer(self.row, refused, call_id));
    }
}

/// What is still looked for in the outputs of a span.
struct Wanted {
    text: bool,
    requests: bool,
    left: usize, // requests there is room for
}

/// What one source has: the text is in the row, the requests are in the table. `clear`: where there is nothing, nothing was recorded.
#[derive(Clone, Copy)]
struct Found {
    requests: bool,
    clear: bool,
}

/// Whether the events of a span that are messages are read on.
fn goes_on(one: &Source, other: &Source) -> bool {
    one.event && other.event && one.rank == other.rank
}

impl<'a> Scanner<'a> {
    fn sink(&mut self, left: usize) -> Sink<'_> {
        Sink { codec: self.codec, columns: &mut self.columns, names: self.names, row: self.row, left, met: false }
    }

    fn slice_of(&self, item: &flat::Item) -> &'a [u8] {
        self.payload.get(item.start..item.end).unwrap_or_default()
    }

    /// OUTPUT from the first source that has text, requests from the first that has any.
    pub(crate) fn outputs(&mut self, span: &mut Span) {
        let first = self.columns.requests.len();
        let mut wanted = Wanted { text: true, requests: span.kind == LLM, left: self.codec.limits.requests_max };
        let (mut asked, mut clear): (Option<Source>, bool) = (None, true);
        for place in 0..self.scratch.outputs.len() {
            let Some(source) = self.scratch.outputs.get(place).copied() else {
                break;
            };
            wanted.requests = span.kind == LLM && asked.is_none_or(|asked| goes_on(&asked, &source));
            if !wanted.text && !wanted.requests {
                break;
            }
            let found = match source.goal {
                Goal::FlatOutput => self.read_flat(span, &source, &mut wanted),
                Goal::Output => {
                    let text = source.value.bytes(self.payload);
                    self.put_text(span, text, &source.value, &mut wanted);
                    Found { requests: false, clear: true }
                }
                _ => self.read_messages(span, &source.value, &mut wanted),
            };
            clear &= found.clear;
            if found.requests && wanted.requests {
                asked = Some(source);
            }
        }
        span.request_first = (first / REQUEST_BYTES) as u32;
        span.request_count = ((self.columns.requests.len() - first) / REQUEST_BYTES) as u32;
        if span.kind == LLM && clear && wanted.text && asked.is_none() {
            span.step_flags |= rows::EMPTY;
        }
    }

    /// Notes a text that is not empty as the output, where there is none yet.
    fn put_text(&mut self, span: &mut Span, text: &[u8], value: &Value, wanted: &mut Wanted) {
        if text.is_empty() || !wanted.text {
            return;
        }
        wanted.text = false;
        (span.output, span.output_len) = (hash(text), text.len() as u32);
        (span.output_at, span.output_value_len) = (value.start as u32, (value.end - value.start) as u32);
        if !matches!(span.kind, LLM | EMBEDDING | AGENT) {
            return;
        }
        let print = self.scratch.printer.text(text, &self.codec.claims);
        span.likeness = print.sim;
        if span.kind == LLM && print.repetitive {
            span.step_flags |= rows::REPETITIVE;
        }
        if span.kind != EMBEDDING && print.claim {
            span.flags |= rows::CLAIM;
        }
    }

    fn read_messages(&mut self, span: &mut Span, value: &Value, wanted: &mut Wanted) -> Found {
        let mut messages = std::mem::take(&mut self.scratch.messages);
        let found = match (value.member, value.escaped) {
            (Member::String | Member::Json, false) => self.read_output(span, value.bytes(self.payload), value, &mut messages, wanted),
            (Member::String, true) => {
                let text = unescape(value.bytes(self.payload));
                self.read_output(span, &text, value, &mut Messages::default(), wanted)
            }
            (Member::Array | Member::KvList, _) => {
                let mut text = Vec::new();
                put_json(self.payload, value.start, value.end, &mut text);
                self.read_output(span, &text, value, &mut Messages::default(), wanted)
            }
            (member, _) => Found { requests: false, clear: member == Member::None },
        };
        self.scratch.messages = messages;
        found
    }

    fn read_output<'j>(
        &mut self,
        span: &mut Span,
        json: &'j [u8],
        value: &Value,
        messages: &mut Messages<'j>,
        wanted: &mut Wanted,
    ) -> Found {
        if json.is_empty() {
            return Found { requests: false, clear: true };
        }
        messages.read(json, true);
        if wanted.text {
            let mut joined = std::mem::take(&mut self.scratch.joined);
            self.put_text(span, join(messages.texts.iter().copied(), &mut joined), value, wanted);
            self.scratch.joined = joined;
        }
        let found = Found { requests: !messages.requests.is_empty(), clear: messages.whole };
        if wanted.requests {
            let mut sink = self.sink(wanted.left);
            for request in &messages.requests {
                let arguments = request.arguments.map_or(b"".as_slice(), |json| json.raw);
                sink.request(|names| request.name.map_or((0, false), |raw| intern_json(names, raw)), id_hash(request.id), arguments);
            }
            wanted.left = sink.left;
        }
        found
    }

    fn read_flat(&mut self, span: &mut Span, source: &Source, wanted: &mut Wanted) -> Found {
        let mut sorted = std::mem::take(&mut self.scratch.sorted);
        flat::sorted(&self.scratch.items, source.entry, &mut sorted);
        let payload = self.payload;
        if wanted.text {
            let mut joined = std::mem::take(&mut self.scratch.joined);
            let bytes = |item: &flat::Item| payload.get(item.start..item.end).unwrap_or_default();
            let last = flat::texts(&sorted).filter(|item| item.start < item.end).last();
            let value = last.map_or_else(Value::default, |item| Value { start: item.start, end: item.end, ..Value::default() });
            self.put_text(span, join(flat::texts(&sorted).map(bytes), &mut joined), &value, wanted);
            self.scratch.joined = joined;
        }
        let found = Found { requests: flat::calls(&sorted).next().is_some(), clear: true };
        if wanted.requests {
            let mut sink = self.sink(wanted.left);
            for call in flat::calls(&sorted) {
                let get = |part| {
                    let item = call.iter().rfind(|item| item.slot.3 == part);
                    item.and_then(|item| payload.get(item.start..item.end)).unwrap_or_default()
                };
                sink.request(|names| names.intern(get(Part::CallName)), hash(get(Part::CallId)), get(Part::CallArguments));
            }
            wanted.left = sink.left;
        }
        self.scratch.sorted = sorted;
        found
    }

    /// Answers from the first source that has any.
    pub(crate) fn inputs(&mut self, span: &mut Span) {
        let first = self.columns.answers.len();
        let (mut told, mut left): (Option<Source>, usize) = (None, self.codec.limits.answers_max);
        for place in 0..self.scratch.inputs.len() {
            let source = self.scratch.inputs.get(place).copied();
            let Some(source) = source.filter(|source| told.is_none_or(|told| goes_on(&told, source))) else {
                break;
            };
            let met = match source.goal {
                Goal::InputMessages => self.read_answers(&source.value, &mut left),
                _ => self.read_flat_answers(&source, &mut left),
            };
            told = if met { Some(source) } else { told };
        }
        span.answer_first = (first / ANSWER_BYTES) as u32;
        span.answer_count = ((self.columns.answers.len() - first) / ANSWER_BYTES) as u32;
    }

    fn read_answers(&mut self, value: &Value, left: &mut usize) -> bool {
        match (value.member, value.escaped) {
            (Member::String | Member::Json, false) => {
                let mut messages = std::mem::take(&mut self.scratch.messages);
                let met = self.read_input(value.bytes(self.payload), &mut messages, left);
                self.scratch.messages = messages;
                met
            }
            (Member::String, true) => self.read_input(&unescape(value.bytes(self.payload)), &mut Messages::default(), left),
            (Member::Array | Member::KvList, _) => {
                let mut text = Vec::new();
                put_json(self.payload, value.start, value.end, &mut text);
                self.read_input(&text, &mut Messages::default(), left)
            }
            _ => false,
        }
    }

    fn read_input<'j>(&mut self, json: &'j [u8], messages: &mut Messages<'j>, left: &mut usize) -> bool {
        if json.len() >= GUARDED_BYTES_MIN && !self.codec.answered.iter().any(|finder| finder.find(json).is_some()) {
            return false;
        }
        messages.read(json, false);
        let mut sink = self.sink(*left);
        for answer in &messages.answers {
            sink.answer(id_hash(answer.id), answer.response);
        }
        *left = sink.left;
        sink.met
    }

    fn read_flat_answers(&mut self, source: &Source, left: &mut usize) -> bool {
        let mut sorted = std::mem::take(&mut self.scratch.sorted);
        flat::sorted(&self.scratch.items, source.entry, &mut sorted);
        let mut content: (u32, &[u8]) = (0, b"");
        let mut met = false;
        for item in &sorted {
            let bytes = self.slice_of(item);
            match item.slot.3 {
                Part::Content => content = (item.slot.0, bytes),
                Part::AnswerId if !bytes.is_empty() => {
                    let response = if content.0 == item.slot.0 { content.1 } else { b"" };
                    let mut sink = self.sink(*left);
                    sink.answer(hash(bytes), response);
                    (*left, met) = (sink.left, true);
                }
                _ => {}
            }
        }
        self.scratch.sorted = sorted;
        met
    }
}
