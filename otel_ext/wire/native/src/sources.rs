//! What a model call answered and asked for, and what it was told: from whichever source of the span yields it first.

use memchr::memchr;

use crate::evaluate::Source;
use crate::flat::{self, Part};
use crate::names::{Names, hash};
use crate::rows::{ANSWER_BYTES, LLM, REQUEST_BYTES, Span, pack_answer, pack_request};
use crate::scan::{Codec, Columns, Scanner};
use crate::skim::Json;
use crate::table::Goal;
use crate::unescape::unescape;
use crate::value::Member;

const REFUSAL_BYTES_MAX: usize = 256;
const GUARDED_BYTES_MIN: usize = 512; // what is shorter is read as fast as it is searched

/// The hash and length of all `pieces` together.
fn join<'p>(pieces: impl Iterator<Item = &'p [u8]>, buffer: &mut Vec<u8>) -> (u64, u32) {
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
    let all = if buffer.is_empty() { single } else { buffer };
    (hash(all), all.len() as u32)
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

/// Appends the rows of one span, up to its limits; the rest is counted.
struct Sink<'s> {
    codec: &'s Codec,
    columns: &'s mut Columns,
    names: &'s mut Names,
    row: u32,
    count: usize,
}

impl Sink<'_> {
    fn full(&mut self, max: usize) -> bool {
        if self.count >= max {
            self.columns.overflow += 1;
            return true;
        }
        self.count += 1;
        false
    }

    fn request(&mut self, tool: impl FnOnce(&mut Names) -> (u16, bool), call_id: u64, arguments: &[u8]) {
        if self.full(self.codec.limits.requests_max) {
            return;
        }
        let (tool, overflow) = tool(self.names);
        self.columns.overflow += u64::from(overflow);
        self.columns.requests.extend_from_slice(&pack_request(self.row, tool, call_id, hash(arguments)));
    }

    fn answer(&mut self, call_id: u64, response: &[u8]) {
        if self.full(self.codec.limits.answers_max) {
            return;
        }
        let refused = refused(self.codec, response);
        self.columns.answers.extend_from_slice(&pack_answer(self.row, refused, call_id));
    }
}

impl<'a> Scanner<'a> {
    fn sink(&mut self) -> Sink<'_> {
        Sink { codec: self.codec, columns: &mut self.columns, names: self.names, row: self.row, count: 0 }
    }

    fn slice_of(&self, item: &flat::Item) -> &'a [u8] {
        self.payload.get(item.start..item.end).unwrap_or_default()
    }

    /// OUTPUT from the first source that has text, requests from the first that has any.
    pub(crate) fn outputs(&mut self, span: &mut Span) {
        let (mut want_text, mut want_requests) = (true, span.kind == LLM);
        span.request_first = (self.columns.requests.len() / REQUEST_BYTES) as u32;
        for place in 0..self.scratch.outputs.len() {
            let Some(source) = self.scratch.outputs.get(place).copied().filter(|_| want_text || want_requests) else {
                break;
            };
            let found = match (source.goal, source.value.member) {
                (Goal::OutputMessages, Member::String) => self.read_messages(&source, want_text, want_requests),
                (Goal::OutputMessages, Member::Array | Member::KvList) | (Goal::Output, _) => {
                    let bytes = source.value.bytes(self.payload);
                    Found { output: (hash(bytes), bytes.len() as u32), at: source.value.start, length: bytes.len(), requests: 0 }
                }
                (Goal::FlatOutput, _) => self.read_flat(&source, want_text, want_requests),
                _ => Found::default(),
            };
            if want_text && found.output.1 > 0 {
                want_text = false;
                (span.output, span.output_len) = found.output;
                (span.output_at, span.output_value_len) = (found.at as u32, found.length as u32);
            }
            if want_requests && found.requests > 0 {
                want_requests = false;
                span.request_count = found.requests as u32;
            }
        }
    }

    fn read_messages(&mut self, source: &Source, want_text: bool, want_requests: bool) -> Found {
        let mut found = Found { at: source.value.start, length: source.value.end - source.value.start, ..Found::default() };
        let mut messages = std::mem::take(&mut self.scratch.messages);
        messages.read(source.value.bytes(self.payload), true);
        if want_text {
            found.output = join(messages.texts.iter().copied(), &mut self.scratch.joined);
        }
        if want_requests {
            let mut sink = self.sink();
            for request in &messages.requests {
                let arguments = request.arguments.map_or(b"".as_slice(), |json| json.raw);
                sink.request(|names| request.name.map_or((0, false), |raw| intern_json(names, raw)), id_hash(request.id), arguments);
            }
            found.requests = sink.count;
        }
        self.scratch.messages = messages;
        found
    }

    fn read_flat(&mut self, source: &Source, want_text: bool, want_requests: bool) -> Found {
        let mut found = Found::default();
        let mut sorted = std::mem::take(&mut self.scratch.sorted);
        flat::sorted(&self.scratch.items, source.entry, &mut sorted);
        if want_text {
            let payload = self.payload;
            let bytes = |item: &flat::Item| payload.get(item.start..item.end).unwrap_or_default();
            found.output = join(flat::texts(&sorted).map(bytes), &mut self.scratch.joined);
            if let Some(last) = flat::texts(&sorted).filter(|item| item.start < item.end).last() {
                (found.at, found.length) = (last.start, last.end - last.start);
            }
        }
        if want_requests {
            let payload = self.payload;
            let mut sink = self.sink();
            for call in flat::calls(&sorted) {
                let get = |part| {
                    let item = call.iter().find(|item| item.slot.3 == part);
                    item.and_then(|item| payload.get(item.start..item.end)).unwrap_or_default()
                };
                sink.request(|names| names.intern(get(Part::CallName)), hash(get(Part::CallId)), get(Part::CallArguments));
            }
            found.requests = sink.count;
        }
        self.scratch.sorted = sorted;
        found
    }

    /// Answers from the first source that has any.
    pub(crate) fn inputs(&mut self, span: &mut Span) {
        span.answer_first = (self.columns.answers.len() / ANSWER_BYTES) as u32;
        for place in 0..self.scratch.inputs.len() {
            let Some(source) = self.scratch.inputs.get(place).copied().filter(|_| span.answer_count == 0) else {
                break;
            };
            span.answer_count = match source.goal {
                Goal::InputMessages => self.read_answers(&source),
                _ => self.read_flat_answers(&source),
            } as u32;
        }
    }

    fn read_answers(&mut self, source: &Source) -> usize {
        let json = source.value.bytes(self.payload);
        if source.value.member != Member::String || json.len() >= GUARDED_BYTES_MIN && self.codec.tool_call.find(json).is_none() {
            return 0;
        }
        let mut messages = std::mem::take(&mut self.scratch.messages);
        messages.read(json, false);
        let mut sink = self.sink();
        for answer in &messages.answers {
            sink.answer(id_hash(answer.id), answer.response);
        }
        let count = sink.count;
        self.scratch.messages = messages;
        count
    }

    fn read_flat_answers(&mut self, source: &Source) -> usize {
        let mut sorted = std::mem::take(&mut self.scratch.sorted);
        flat::sorted(&self.scratch.items, source.entry, &mut sorted);
        let mut content: (u32, &[u8]) = (0, b"");
        let mut count = 0;
        for item in &sorted {
            let bytes = self.slice_of(item);
            match item.slot.3 {
                Part::Content => content = (item.slot.0, bytes),
                Part::AnswerId if !bytes.is_empty() => {
                    let response = if content.0 == item.slot.0 { content.1 } else { b"" };
                    let mut sink = Sink { count, ..self.sink() };
                    sink.answer(hash(bytes), response);
                    count = sink.count;
                }
                _ => {}
            }
        }
        self.scratch.sorted = sorted;
        count
    }
}

/// What one source yields: hash and length of the output, the range of the value it came from, and how many requests were appended.
#[derive(Default)]
struct Found {
    output: (u64, u32),
    at: usize,
    length: usize,
    requests: usize,
}
