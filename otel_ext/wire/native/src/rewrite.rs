//! Appends fields to spans and leaves spans out, copying everything else.
//!
//! A plan is made first: a list of byte runs, and with it every new length. So the output is allocated once, at its size. A length is
//! written anew, minimally, only where it changed; all other bytes are those of the input.

use crate::reader::{Cursor, Field, Malformed, Result, put_varint};
use crate::scan::{ATTRIBUTES, PARENT_ID, RESOURCE_SPANS, SCOPE_SPANS, SPAN_ID, SPANS};

/// Fragments, and which of them each row gets (u32, little-endian); 0 is none.
pub struct Column<'a, F> {
    pub indices: &'a [u8],
    pub fragments: &'a [F],
}

/// What `project` does on top of appending: rows to keep (u8), new parents (u64), and the attribute that takes the span's own id.
pub struct Projection<'a> {
    pub keep: &'a [u8],
    pub parents: &'a [u8],
    pub id_key: &'a [u8],
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
}

/// Plans the output of `splice`, or of `project` where there is a projection.
pub fn plan<'a, F: AsRef<[u8]>>(
    payload: &'a [u8],
    columns: &'a [Column<'a, F>],
    projection: Option<Projection<'a>>,
) -> std::result::Result<Plan<'a>, Failure> {
    for (number, column) in columns.iter().enumerate() {
        if column.fragments.first().is_none_or(|first| !first.as_ref().is_empty()) {
            return Err(Failure::Arguments(format!("column {number}: fragments[0] must be b\"\"")));
        }
    }
    let runs = Vec::with_capacity(payload.len() / 64);
    let plan = Plan { runs, made: Vec::new(), size: 0 };
    let mut planner = Planner { payload, columns, projection, plan, row: 0, bad_index: None };
    planner.plan.size = planner.request()?;
    planner.check()?;
    Ok(planner.plan)
}

impl<'a, F: AsRef<[u8]>> Planner<'a, F> {
    fn check(&self) -> std::result::Result<(), Failure> {
        let rows = self.row;
        let wrong = |what: String, count: usize| Err(Failure::Arguments(format!("{rows} spans, but {what} has {count} rows")));
        for (number, column) in self.columns.iter().enumerate() {
            if column.indices.len() != rows * 4 {
                return wrong(format!("column {number}"), column.indices.len() / 4);
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
        let size = match &self.projection {
            None => Some(self.copy(field.start, field.end)),
            Some(_) => self.project(field, row)?,
        };
        Ok(size.map(|size| size + self.append(row)))
    }

    fn append(&mut self, row: usize) -> usize {
        let columns = self.columns;
        let mut size = 0;
        for (number, column) in columns.iter().enumerate() {
            let index = column.indices.get(row * 4..).and_then(<[u8]>::first_chunk::<4>).map_or(0, |bytes| u32::from_le_bytes(*bytes) as usize);
            if index == 0 {
                continue;
            }
            match column.fragments.get(index) {
                Some(fragment) => size += self.given(fragment.as_ref()),
                None => self.bad_index = self.bad_index.or(Some((number, index))),
            }
        }
        size
    }

    /// Plans the content of a span that stays, with its new parent; None for one that goes. The span is read either way, so that damage
    /// is reported whatever is kept.
    fn project(&mut self, span: &Field, row: usize) -> Result<Option<usize>> {
        let Some(projection) = &self.projection else {
            return Ok(None);
        };
        let keep = projection.keep.get(row).is_some_and(|keep| *keep != 0);
        let new = projection.parents.get(row * 8..).and_then(<[u8]>::first_chunk::<8>).map_or(0, |bytes| u64::from_le_bytes(*bytes));
        let id_key = projection.id_key;
        let (mut own, mut parent) = (0..0, 0..0);
        let mut cursor = Cursor::new(self.payload, span.start, span.end);
        while let Some(field) = cursor.next_field()? {
            match field.tag {
                SPAN_ID => own = field.start..field.end,
                PARENT_ID => parent = field.start..field.end,
                _ => {}
            }
        }
        if !keep {
            return Ok(None);
        }
        let old = <[u8; 8]>::try_from(self.slice(parent.start, parent.end)).ok();
        let mut size = if old.map_or(0, u64::from_be_bytes) == new {
            self.copy(span.start, span.end)
        } else if new == 0 {
            self.without_parent(span)?
        } else if old.is_some() {
            self.copy(span.start, parent.start) + self.make(&new.to_be_bytes()) + self.copy(parent.end, span.end)
        } else {
            self.copy(span.start, span.end) + self.make(&[PARENT_ID as u8, 8]) + self.make(&new.to_be_bytes())
        };
        size += self.id_attribute(id_key, self.slice(own.start, own.end));
        Ok(Some(size))
    }

    fn without_parent(&mut self, span: &Field) -> Result<usize> {
        let mut size = 0;
        let mut from = span.start;
        let mut cursor = Cursor::new(self.payload, span.start, span.end);
        while let Some(field) = cursor.next_field()? {
            if field.tag == PARENT_ID {
                size += self.copy(from, field.at);
                from = field.end;
            }
        }
        Ok(size + self.copy(from, span.end))
    }

    /// Plans the attribute `key` with `id` in hex; nothing without a key or for an id that is not 8 bytes long.
    fn id_attribute(&mut self, key: &[u8], id: &[u8]) -> usize {
        const HEX: &[u8; 16] = b"0123456789abcdef";
        if key.is_empty() || id.len() != 8 {
            return 0;
        }
        let mut pair = vec![0x0a];
        put_varint(&mut pair, key.len() as u64);
        pair.extend_from_slice(key);
        pair.extend_from_slice(&[0x12, 18, 0x0a, 16]);
        pair.extend(id.iter().flat_map(|byte| [byte >> 4, byte & 15]).filter_map(|digit| HEX.get(usize::from(digit))));
        let mut attribute = vec![ATTRIBUTES as u8];
        put_varint(&mut attribute, pair.len() as u64);
        attribute.extend_from_slice(&pair);
        self.make(&attribute)
    }
}
