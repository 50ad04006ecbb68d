//! The rows of `otel_ext/wire/table.py`, packed and little-endian.

pub const INVALID_ID: u32 = 1;
pub const ERROR: u32 = 2;
pub const REMOTE_PARENT: u32 = 4;
pub const HAS_ARGUMENTS: u32 = 8;
pub const HAS_RESULT: u32 = 16;
pub const SERVER: u32 = 32;
pub const CUT: u32 = 64;
pub const CLAIM: u32 = 128;
pub const MARK_SHIFT: u32 = 8;

pub const LLM: u8 = 1;
pub const TOOL: u8 = 2;
pub const AGENT: u8 = 3;
pub const RETRIEVER: u8 = 4;
pub const EMBEDDING: u8 = 5;
pub const HANDOFF: u8 = 7;
pub const MCP: u8 = 10;

/// Bits of the flags of a step that are no flags of a span, or stand elsewhere there.
pub const STEP_ERROR: u8 = 1;
pub const STEP_ARGUMENTS: u8 = 2;
pub const STEP_RESULT: u8 = 4;
pub const SHORT_RESULT: u8 = 8;
pub const TRUNCATED: u8 = 16; // of a model call
pub const REFUSED: u8 = 16; // of a tool
pub const STEP_CUT: u8 = 32;
pub const EMPTY: u8 = 64;
pub const REPETITIVE: u8 = 128;
const SHORT_RESULT_BYTES: u32 = 64;

/// Packs values into a row of known size; a row is built on the stack, so the copies become plain stores.
pub(crate) struct Packer<const N: usize> {
    pub row: [u8; N],
    at: usize,
}

impl<const N: usize> Packer<N> {
    pub fn new() -> Self {
        Self { row: [0; N], at: 0 }
    }

    #[inline(always)]
    #[allow(clippy::inline_always)] // the offsets are constants only when inlined
    pub fn put<const M: usize>(&mut self, bytes: [u8; M]) {
        if let Some(place) = self.row.get_mut(self.at..self.at + M) {
            place.copy_from_slice(&bytes);
        }
        self.at += M;
    }
}

pub const SPAN_BYTES: usize = 164;

#[derive(Clone, Copy, Debug)]
pub struct Span {
    pub trace: u32,
    pub flags: u32,
    pub span_id: u64,
    pub parent_id: u64,
    pub start: u64,
    pub end: u64,
    pub kind: u8,
    pub status: u8,
    pub names: [u16; 5], // operation, tool, model, agent, service
    pub call_id: u64,
    pub arguments: u64,
    pub result: u64,
    pub output: u64,
    pub arguments_len: u32,
    pub result_len: u32,
    pub output_len: u32,
    pub output_at: u32,
    pub output_value_len: u32,
    pub conversation_at: u32,
    pub conversation_len: u32,
    pub user_at: u32,
    pub user_len: u32,
    pub tokens: [i32; 5], // input, output, cached, reasoning, cache write
    pub cost: f64,
    pub request_first: u32,
    pub request_count: u32,
    pub answer_first: u32,
    pub answer_count: u32,
    pub step_flags: u8, // TRUNCATED or REFUSED, EMPTY, REPETITIVE
    pub likeness: u16,  // of the arguments or the output
}

impl Default for Span {
    fn default() -> Self {
        Self {
            trace: 0,
            flags: 0,
            span_id: 0,
            parent_id: 0,
            start: 0,
            end: 0,
            kind: 0,
            status: 0,
            names: [0; 5],
            call_id: 0,
            arguments: 0,
            result: 0,
            output: 0,
            arguments_len: 0,
            result_len: 0,
            output_len: 0,
            output_at: 0,
            output_value_len: 0,
            conversation_at: 0,
            conversation_len: 0,
            user_at: 0,
            user_len: 0,
            tokens: [-1; 5],
            cost: f64::NAN,
            request_first: 0,
            request_count: 0,
            answer_first: 0,
            answer_count: 0,
            step_flags: 0,
            likeness: 0,
        }
    }
}

impl Span {
    #[inline]
    pub fn pack(&self) -> [u8; SPAN_BYTES] {
        let mut out = Packer::<SPAN_BYTES>::new();
        for value in [self.trace, self.flags] {
            out.put(value.to_le_bytes());
        }
        for value in [self.span_id, self.parent_id, self.start, self.end] {
            out.put(value.to_le_bytes());
        }
        out.put([self.kind, self.status]);
        for value in self.names {
            out.put(value.to_le_bytes());
        }
        for value in [self.call_id, self.arguments, self.result, self.output] {
            out.put(value.to_le_bytes());
        }
        for value in [self.arguments_len, self.result_len, self.output_len, self.output_at, self.output_value_len] {
            out.put(value.to_le_bytes());
        }
        for value in [self.conversation_at, self.conversation_len, self.user_at, self.user_len] {
            out.put(value.to_le_bytes());
        }
        for value in self.tokens {
            out.put(value.to_le_bytes());
        }
        out.put(self.cost.to_le_bytes());
        for value in [self.request_first, self.request_count, self.answer_first, self.answer_count] {
            out.put(value.to_le_bytes());
        }
        out.row
    }

    /// Where the conversation id stands in the payload.
    pub fn conversation(&self) -> std::ops::Range<usize> {
        range(self.conversation_at, self.conversation_len)
    }

    /// Where the user id stands in the payload.
    pub fn user(&self) -> std::ops::Range<usize> {
        range(self.user_at, self.user_len)
    }

    /// Where the output stands in the payload.
    pub fn output_value(&self) -> std::ops::Range<usize> {
        range(self.output_at, self.output_value_len)
    }

    /// The step this span is, where its kind is one.
    #[inline]
    pub fn step(&self, row: u32) -> Option<Step> {
        let [_, tool, model, agent, _] = self.names;
        let pair = |hash: u64| if hash == 0 { 0 } else { u32::from(self.likeness) << 16 | (fold(hash) & 0xffff).max(1) };
        let parent = self.parent_id as u32;
        let (name, a, b, c) = match self.kind {
            TOOL | HANDOFF | RETRIEVER => (tool, pair(self.arguments), fold(self.result), fold(self.call_id)),
            MCP if tool != 0 => (tool, pair(self.arguments), fold(self.result), parent),
            LLM | EMBEDDING => {
                let [input, output, ..] = self.tokens;
                (model, pair(self.output), input.max(0).unsigned_abs() + output.max(0).unsigned_abs(), parent)
            }
            AGENT => (agent, fold(self.output), self.duration_ms(), self.output_len),
            _ => return None,
        };
        let same = (self.flags & ERROR) >> 1 | (self.flags & (HAS_ARGUMENTS | HAS_RESULT)) >> 2 | (self.flags & CUT) >> 1;
        let by_tool = matches!(self.kind, TOOL | HANDOFF | RETRIEVER | MCP);
        let short = by_tool && self.flags & HAS_RESULT != 0 && self.result_len <= SHORT_RESULT_BYTES;
        let flags = same as u8 | self.step_flags | if short { SHORT_RESULT } else { 0 };
        let order = (self.trace, self.end, self.span_id & 0xffff_ffff, self.span_id, row);
        Some(Step { order, kind: self.kind, flags, name, a, b, c })
    }

    /// Rounded up, so that what happened inside of the span is not outside of it; 0 for an end before the start.
    fn duration_ms(&self) -> u32 {
        let ms = self.end.saturating_sub(self.start).div_ceil(1_000_000);
        u32::try_from(ms).unwrap_or(u32::MAX)
    }
}

fn range(at: u32, length: u32) -> std::ops::Range<usize> {
    at as usize..at as usize + length as usize
}

/// 32 bits of a hash; 0 stays "absent".
fn fold(hash: u64) -> u32 {
    if hash == 0 { 0 } else { ((hash ^ hash >> 32) as u32).max(1) }
}

pub const STEP_BYTES: usize = 28;

/// `order`: trace, end, low half of the span id, span id, row.
#[derive(Clone, Copy, Debug)]
pub struct Step {
    pub order: (u32, u64, u64, u64, u32),
    pub kind: u8,
    pub flags: u8,
    pub name: u16,
    pub a: u32,
    pub b: u32,
    pub c: u32,
}

impl Step {
    #[inline]
    pub fn pack(&self) -> [u8; STEP_BYTES] {
        let mut out = Packer::<STEP_BYTES>::new();
        out.put(self.order.1.to_le_bytes());
        out.put((self.order.3 as u32).to_le_bytes());
        out.put([self.kind, self.flags]);
        out.put(self.name.to_le_bytes());
        for value in [self.a, self.b, self.c] {
            out.put(value.to_le_bytes());
        }
        out.row
    }

    /// Adds what another step of the same call tells and this one does not.
    pub fn take(&mut self, inner: &Self) {
        self.flags |= inner.flags & (STEP_ERROR | REFUSED);
        if self.c == 0 {
            self.c = inner.c;
        }
        if self.flags & STEP_ARGUMENTS == 0 {
            self.flags |= inner.flags & STEP_ARGUMENTS;
            self.a = inner.a;
        }
        if self.flags & STEP_RESULT == 0 {
            self.flags |= inner.flags & (STEP_RESULT | SHORT_RESULT);
            self.b = inner.b;
        }
    }

    /// The call, where this is a tool step with its id and was made: not one with arguments but neither result nor error, nor a refused one.
    fn settles(&self) -> Option<u64> {
        let hollow = self.flags & (STEP_ERROR | STEP_ARGUMENTS | STEP_RESULT | STEP_CUT) == STEP_ARGUMENTS;
        (self.kind == TOOL && self.c != 0 && !hollow && self.flags & REFUSED == 0).then(|| call(self.order.0, self.c))
    }
}

pub const REQUEST_BYTES: usize = 24;
pub const ANSWER_BYTES: usize = 16;
const REQUEST_SETTLED: usize = 6;
const ANSWER_SETTLED: usize = 5;
const CALL_ID: usize = 8; // in both

pub fn pack_request(row: u32, tool: u16, call_id: u64, arguments: u64) -> [u8; REQUEST_BYTES] {
    let mut out = Packer::<REQUEST_BYTES>::new();
    out.put(row.to_le_bytes());
    out.put(tool.to_le_bytes());
    out.put([0; 2]); // settled: not known yet
    out.put(call_id.to_le_bytes());
    out.put(arguments.to_le_bytes());
    out.row
}

pub fn pack_answer(row: u32, refused: bool, call_id: u64) -> [u8; ANSWER_BYTES] {
    let mut out = Packer::<ANSWER_BYTES>::new();
    out.put(row.to_le_bytes());
    out.put([u8::from(refused), 0, 0, 0]); // settled: not known yet
    out.put(call_id.to_le_bytes());
    out.row
}

/// Marks the requests and the answers that a tool step of their trace settles; `spans` are packed rows.
pub fn settle(spans: &[u8], steps: &[Step], requests: &mut [u8], answers: &mut [u8]) {
    if requests.is_empty() && answers.is_empty() {
        return;
    }
    let mut calls: Vec<u64> = steps.iter().filter_map(Step::settles).collect();
    calls.sort_unstable();
    let settled = |row: &[u8]| {
        let number = row.first_chunk().map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
        let trace = spans.get(number * SPAN_BYTES..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes));
        let call_id = row.get(CALL_ID..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        u8::from(calls.binary_search(&call(trace, fold(call_id))).is_ok())
    };
    for (rows, size, place) in [(requests, REQUEST_BYTES, REQUEST_SETTLED), (answers, ANSWER_BYTES, ANSWER_SETTLED)] {
        for row in rows.chunks_exact_mut(size) {
            let settled = settled(row);
            if let Some(byte) = row.get_mut(place) {
                *byte = settled;
            }
        }
    }
}

pub const DECLARED_BYTES: usize = 24;

pub fn pack_declared(row: u32, (at, length): (u32, u32), how: u8, hash: u64) -> [u8; DECLARED_BYTES] {
    let mut out = Packer::<DECLARED_BYTES>::new();
    for value in [row, at, length] {
        out.put(value.to_le_bytes());
    }
    out.put([how, 0, 0, 0]);
    out.put(hash.to_le_bytes());
    out.row
}

/// Range, form and hash of the value of each row.
pub fn declared(rows: &[u8]) -> impl Iterator<Item = (std::ops::Range<usize>, u8, u64)> {
    let number = |row: &[u8], at: usize| row.get(at..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes));
    rows.chunks_exact(DECLARED_BYTES).map(move |row| {
        let hash = row.last_chunk().map_or(0, |bytes| u64::from_le_bytes(*bytes));
        (range(number(row, 4), number(row, 8)), row.get(12).copied().unwrap_or_default(), hash)
    })
}

pub const SCOPE_BYTES: usize = 12;

pub fn pack_scope(name: u16, spans: u32, steps: u32) -> [u8; SCOPE_BYTES] {
    let mut out = Packer::<SCOPE_BYTES>::new();
    out.put(name.to_le_bytes());
    out.put([0; 2]);
    for value in [spans, steps] {
        out.put(value.to_le_bytes());
    }
    out.row
}

fn call(trace: u32, call_id: u32) -> u64 {
    u64::from(trace) << 32 | u64::from(call_id)
}
