//! Appends fields to spans and leaves spans out, copying everything else.
//!
//! A plan is made first: a list of byte runs, and with it every new length. So the output is allocated once, at its size. A length is
//! written anew, minimally, only where it changed; all other bytes are those of the input.

use crate::reader::{Cursor, Field, Malformed, Result, put_varint};
use crate::scan::{PARENT_ID, RESOURCE_SPANS, SCOPE_SPANS, SPAN_ID, SPANS, TRACE_ID};

/// What the spans gain.
pub enum Column<'a, F> {
    /// Fragments, and which of them each row gets (u32, little-endian); 0 is none.
    Fragments { indices: &'a [u8], fragments: &'a [F] },
    /// An attribute around the hex digits of the span's own id, or of its trace's; `mask` (u8) says which rows get it.
    Ids { mask: &'a [u8], before: &'a [u8], after: &'a [u8], of_span: bool },
    /// Bytes one row after the other; `offsets` (u32, rows + 1) say where each row's begin.
    Ragged { offsets: &'a [u8], data: &'a [u8] },
}

impl<F> Column<'_, F> {
    fn rows(&self) -> usize {
        match self {
            Self::Fragments { indices, .. } => indices.len() / 4,
            Self::Ids { mask, .. } => mask.len(),
            Self::Ragged { offsets, .. } => (offsets.len() / 4).saturating_sub(1),
        }
    }

    fn wants_id(&self, row: usize) -> bool {
        matches!(self, Self::Ids { mask, .. } if mask.get(row).is_some_and(|set| *set != 0))
    }
}

/// What `project` does on top of appending: rows to keep (u8) and new parents (u64).
pub struct Projection<'a> {
    pub keep: &'a [u8],
    pub parents: &'a [u8],
    pub cuts: &'a [u8], // byte ranges of the payload to leave out, pairs of u32, ascending
}

/// The ids of a span, where they are of their length, and where its parent's is.
#[derive(Clone, Default)]
struct Ids {
    trace: Option<[u8; 16]>,
    own: Option<[u8; 8]>,
    parent: std::ops::Range<usize>,
}

#[derive(Debug)]
pub enum Failure {
    Malformed(Box<Malformed>),
    Arguments(String),
}

impl From<Box<Malformed>> for Failure {
    fn from(error: Box<Malformed>) -> Self {
        Self::Malformed(error)
    }
}

#[derive(Clone, Copy)]
enum Run<'a> {
    Given(&'a [u8]),
    Made { start: usize, end: usize },
}

pub struct Plan<'a> {
    runs: Vec<Run<'a>>,
    made: Vec<u8>,
    pub size: usize,
}

impl Plan<'_> {
    /// Writes the output into `out`, which is `size` bytes long.
    pub fn write(&self, out: &mut [u8]) {
        let mut rest = out;
        for run in &self.runs {
            let bytes = match *run {
                Run::Given(bytes) => bytes,
                Run::Made { start, end } => self.made.get(start..end).unwrap_or_default(),
            };
            let Some((place, tail)) = rest.split_at_mut_checked(bytes.len()) else {
                return;
            };
            place.copy_from_slice(bytes);
            rest = tail;
        }
    }
}

struct Planner<'a, F> {
    payload: &'a [u8],
    columns: &'a [Column<'a, F>],
    projection: Option<Projection<'a>>,
    plan: Plan<'a>,
    row: usize,
    bad_index: Option<(usize, usize)>, // column, index
    next_cut: usize,
}

/// Plans the output of `splice`, or of `project` where there is a projection.
pub fn plan<'a, F: AsRef<[u8]>>(
    payload: &'a [u8],
    columns: &'a [Column<'a, F>],
    projection: Option<Projection<'a>>,
) -> std::result::Result<Plan<'a>, Failure> {
    for (number, column) in columns.iter().enumerate() {
        if matches!(column, Column::Fragments { fragments, .. } if fragments.first().is_none_or(|first| !first.as_ref().is_empty())) {
            return Err(Failure::Arguments(format!("column {number}: fragments[0] must be b\"\"")));
        }
    }
    let runs = Vec::with_capacity(payload.len() / 64);
    let plan = Plan { runs, made: Vec::new(), size: 0 };
    let mut planner = Planner { payload, columns, projection, plan, row: 0, bad_index: None, next_cut: 0 };
    planner.plan.size = planner.request()?;
    planner.check()?;
    Ok(planner.plan)
}

impl<'a, F: AsRef<[u8]>> Planner<'a, F> {
    fn check(&self) -> std::result::Result<(), Failure> {
        let rows = self.row;
        let wrong = |what: String, count: usize| Err(Failure::Arguments(format!("{rows} spans, but {what} has {count} rows")));
        for (number, column) in self.columns.iter().enumerate() {
            if column.rows() != rows {
                return wrong(format!("column {number}"), column.rows());
            }
        }
        if let Some(projection) = &self.projection {
            if projection.keep.len() != rows {
                return wrong("keep".into(), projection.keep.len());
            }
            if projection.parents.len() != rows * 8 {
                return wrong("parents".into(), projection.parents.len() / 8);
            }
        }
        match self.bad_index {
            Some((column, index)) => Err(Failure::Arguments(format!("column {column}: there is no fragment {index}"))),
            None => Ok(()),
        }
    }

    fn given(&mut self, bytes: &'a [u8]) -> usize {
        self.plan.runs.push(Run::Given(bytes));
        bytes.len()
    }

    fn slice(&self, start: usize, end: usize) -> &'a [u8] {
        self.payload.get(start..end).unwrap_or_default()
    }

    fn copy(&mut self, start: usize, end: usize) -> usize {
        self.given(self.slice(start, end))
    }

    /// `copy` without what is cut out. Spans are copied in order, and so are their parts.
    fn copy_uncut(&mut self, start: usize, end: usize) -> usize {
        let mut size = 0;
        let mut from = start;
        while let Some((cut, stop)) = self.cut() {
            if cut >= end {
                break;
            }
            if cut >= from && stop <= end {
                size += self.copy(from, cut);
                from = stop;
            }
            self.next_cut += 1;
        }
        size + self.copy(from, end)
    }

    fn cut(&self) -> Option<(usize, usize)> {
        let place = self.projection.as_ref()?.cuts.get(self.next_cut * 8..)?.first_chunk::<8>()?;
        let both = u64::from_le_bytes(*place);
        Some((both as u32 as usize, (both >> 32) as usize))
    }

    fn make(&mut self, bytes: &[u8]) -> usize {
        let start = self.plan.made.len();
        self.plan.made.extend_from_slice(bytes);
        self.plan.runs.push(Run::Made { start, end: start + bytes.len() });
        bytes.len()
    }

    fn request(&mut self) -> Result<usize> {
        let mut size = 0;
        let mut cursor = Cursor::new(self.payload, 0, self.payload.len());
        while let Some(field) = cursor.next_field()? {
            size += match field.tag {
                RESOURCE_SPANS => self.message(&field, Self::resource_spans)?.unwrap_or(0),
                _ => self.copy(field.at, field.end),
            };
        }
        Ok(size)
    }

    /// Plans a field whose content `inside` plans; None, and no runs, where that is to be left out.
    fn message(&mut self, field: &Field, inside: fn(&mut Self, &Field) -> Result<Option<usize>>) -> Result<Option<usize>> {
        let mark = self.plan.runs.len();
        let tag = self.copy(field.at, field.mid);
        let place = self.plan.runs.len();
        let mut header = self.copy(field.mid, field.start);
        let Some(size) = inside(self, field)? else {
            self.plan.runs.truncate(mark);
            return Ok(None);
        };
        if size != field.end - field.start {
            let start = self.plan.made.len();
            put_varint(&mut self.plan.made, size as u64);
            let end = self.plan.made.len();
            if let Some(run) = self.plan.runs.get_mut(place) {
                *run = Run::Made { start, end };
            }
            header = end - start;
        }
        Ok(Some(tag + header + size))
    }

    /// Plans the fields of a message; those with `tag` through `inside`. Without a span left a projection leaves it out.
    fn children(&mut self, parent: &Field, tag: u32, inside: fn(&mut Self, &Field) -> Result<Option<usize>>) -> Result<Option<usize>> {
        let mut size = 0;
        let mut kept = self.projection.is_none();
        let mut cursor = Cursor::new(self.payload, parent.start, parent.end);
        while let Some(field) = cursor.next_field()? {
            size += if field.tag == tag {
                let planned = self.message(&field, inside)?;
                kept |= planned.is_some();
                planned.unwrap_or(0)
            } else {
                self.copy(field.at, field.end)
            };
        }
        Ok(kept.then_some(size))
    }

    fn resource_spans(&mut self, field: &Field) -> Result<Option<usize>> {
        self.children(field, SCOPE_SPANS, Self::scope_spans)
    }

    fn scope_spans(&mut self, field: &Field) -> Result<Option<usize>> {
        self.children(field, SPANS, Self::span)
    }

    fn span(&mut self, field: &Field) -> Result<Option<usize>> {
        let row = self.row;
        self.row += 1;
        let Some(projection) = &self.projection else {
            let wanted = self.columns.iter().any(|column| column.wants_id(row));
            let ids = if wanted { self.ids(field)? } else { Ids::default() };
            return Ok(Some(self.copy(field.start, field.end) + self.append(row, &ids)));
        };
        let keep = projection.keep.get(row).is_some_and(|keep| *keep != 0);
        let parent = projection.parents.get(row * 8..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let ids = self.ids(field)?; // kept or not, so that damage is reported whatever is kept
        if !keep {
            return Ok(None);
        }
        Ok(Some(self.reparent(field, &ids.parent, parent)? + self.append(row, &ids)))
    }

    fn ids(&self, span: &Field) -> Result<Ids> {
        let mut ids = Ids::default();
        let mut cursor = Cursor::new(self.payload, span.start, span.end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                TRACE_ID => ids.trace = self.slice(field.start, field.end).try_into().ok(),
                SPAN_ID => ids.own = self.slice(field.start, field.end).try_into().ok(),
                PARENT_ID => ids.parent = field.start..field.end,
                _ => {}
            }
        }
        Ok(ids)
    }

    fn append(&mut self, row: usize, ids: &Ids) -> usize {
        let columns = self.columns;
        let mut size = 0;
        for (number, column) in columns.iter().enumerate() {
            match column {
                Column::Fragments { indices, fragments } => {
                    let index = indices.get(row * 4..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
                    match fragments.get(index) {
                        _ if index == 0 => {}
                        Some(fragment) => size += self.given(fragment.as_ref()),
                        None => self.bad_index = self.bad_index.or(Some((number, index))),
                    }
                }
                Column::Ids { before, after, of_span, .. } if column.wants_id(row) => {
                    let id =
                        if *of_span { ids.own.as_ref().map(<[u8; 8]>::as_slice) } else { ids.trace.as_ref().map(<[u8; 16]>::as_slice) };
                    size += id.map_or(0, |id| self.around(before, id, after));
                }
                Column::Ids { .. } => {}
                Column::Ragged { offsets, data } => {
                    let at =
                        |row: usize| offsets.get(row * 4..).and_then(<[u8]>::first_chunk).map_or(0, |bytes| u32::from_le_bytes(*bytes));
                    let (start, end) = (at(row) as usize, at(row + 1) as usize);
                    if start < end {
                        match data.get(start..end) {
                            Some(fragment) => size += self.given(fragment),
                            None => self.bad_index = self.bad_index.or(Some((number, end))),
                        }
                    }
                }
            }
        }
        size
    }

    /// Plans `id` in hex with what goes around it.
    fn around(&mut self, before: &[u8], id: &[u8], after: &[u8]) -> usize {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        let made = &mut self.plan.made;
        let start = made.len();
        made.extend_from_slice(before);
        made.extend(id.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| HEX.get(usize::from(digit))));
        made.extend_from_slice(after);
        let end = made.len();
        self.plan.runs.push(Run::Made { start, end });
        end - start
    }

    /// Plans the content of a span with its new parent.
    fn reparent(&mut self, span: &Field, parent: &std::ops::Range<usize>, new: u64) -> Result<usize> {
        let old = <[u8; 8]>::try_from(self.slice(parent.start, parent.end)).ok();
        if old.map_or(0, u64::from_be_bytes) == new {
            Ok(self.copy_uncut(span.start, span.end))
        } else if new == 0 {
            self.without_parent(span)
        } else if old.is_some() {
            Ok(self.copy_uncut(span.start, parent.start) + self.make(&new.to_be_bytes()) + self.copy_uncut(parent.end, span.end))
        } else {
            Ok(self.copy_uncut(span.start, span.end) + self.make(&[PARENT_ID as u8, 8]) + self.make(&new.to_be_bytes()))
        }
    }

    fn without_parent(&mut self, span: &Field) -> Result<usize> {
        let mut size = 0;
        let mut from = span.start;
        let mut cursor = Cursor::new(self.payload, span.start, span.end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == PARENT_ID {
                size += self.copy_uncut(from, field.at);
                from = field.end;
            }
        }
        Ok(size + self.copy_uncut(from, span.end))
    }
}
