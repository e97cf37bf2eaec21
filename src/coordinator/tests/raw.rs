//! Requests as bytes: whatever somebody may send to a port, and requests made up from the wire's own description, so
//! that a message or a field that is added is tried without a word here.

use interrex_api::FILE_DESCRIPTOR_SET;
use prost::Message;
use prost::bytes::{Buf, BufMut};
use prost::encoding::{WireType, encode_key, encode_varint};
use prost_types::field_descriptor_proto::{Label, Type};
use prost_types::{DescriptorProto, FieldDescriptorProto, FileDescriptorSet};
use std::collections::BTreeMap;
use std::time::Duration;
use tonic::codec::{Codec, DecodeBuf, Decoder, EncodeBuf, Encoder};
use tonic::codegen::http::uri::PathAndQuery;
use tonic::transport::Channel;
use tonic::{Request, Status};

/// Bytes in, bytes out.
#[derive(Default)]
struct Raw;

impl Codec for Raw {
    type Encode = Vec<u8>;
    type Decode = Vec<u8>;
    type Encoder = Self;
    type Decoder = Self;

    fn encoder(&mut self) -> Self {
        Self
    }

    fn decoder(&mut self) -> Self {
        Self
    }
}

impl Encoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn encode(&mut self, item: Vec<u8>, to: &mut EncodeBuf<'_>) -> Result<(), Status> {
        to.put_slice(&item);
        Ok(())
    }
}

impl Decoder for Raw {
    type Item = Vec<u8>;
    type Error = Status;

    fn decode(&mut self, from: &mut DecodeBuf<'_>) -> Result<Option<Vec<u8>>, Status> {
        Ok(Some(from.copy_to_bytes(from.remaining()).to_vec()))
    }
}

/// Sends one message to the rpc at `path` (`/package.Service/Method`) and returns the first of the answer, or nothing
/// where none came for a moment: a stream that follows goes on for ever.
pub(crate) async fn send(to: &Channel, path: &str, message: Vec<u8>) -> Result<Option<Vec<u8>>, Status> {
    let mut client = tonic::client::Grpc::new(to.clone());
    client.ready().await.map_err(|e| Status::unavailable(e.to_string()))?;
    let path: PathAndQuery = path.parse().expect("a path");
    let mut request = Request::new(message);
    request.set_timeout(Duration::from_secs(10));
    let mut answers = client.server_streaming(request, path, Raw).await?.into_inner();
    match tokio::time::timeout(Duration::from_millis(500), answers.message()).await {
        Ok(first) => first,
        Err(_) => Ok(None),
    }
}

/// Numbers that look random and are the same in every run.
pub(crate) struct Dice(pub(crate) u64);

impl Dice {
    /// The next one (splitmix64).
    pub(crate) fn next(&mut self) -> u64 {
        self.0 = self.0.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut z = self.0;
        z = (z ^ (z >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        z = (z ^ (z >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        z ^ (z >> 31)
    }

    /// Below `end`, which is not 0.
    pub(crate) fn below(&mut self, end: usize) -> usize {
        usize::try_from(self.next() % u64::try_from(end).expect("fits")).expect("fits")
    }

    fn one_of<T: Copy>(&mut self, of: &[T]) -> T {
        of[self.below(of.len())]
    }
}

/// An rpc: where it is called, and what it takes.
pub(crate) struct Rpc {
    pub(crate) path: String,
    pub(crate) takes: String,
}

/// The wire, as it describes itself.
pub(crate) struct Wire {
    messages: BTreeMap<String, DescriptorProto>,
    pub(crate) rpcs: Vec<Rpc>,
    /// What names and texts are drawn from.
    words: Vec<&'static str>,
}

impl Wire {
    /// Of these services, with texts that may mean something there.
    pub(crate) fn of(services: &[&str], words: &[&'static str]) -> Self {
        let set = FileDescriptorSet::decode(FILE_DESCRIPTOR_SET).expect("our own description");
        let mut messages = BTreeMap::new();
        let mut rpcs = Vec::new();
        for file in set.file {
            for service in file.service.iter().filter(|service| services.contains(&service.name())) {
                rpcs.extend(service.method.iter().map(|method| Rpc {
                    path: format!("/{}.{}/{}", file.package(), service.name(), method.name()),
                    takes: method.input_type().to_owned(),
                }));
            }
            let within = format!(".{}", file.package());
            file.message_type.into_iter().for_each(|message| know(&mut messages, &within, message));
        }
        Self { messages, rpcs, words: words.to_vec() }
    }

    /// A message that decodes: every field there or not, with values that may make sense and ones that never do.
    pub(crate) fn message(&self, dice: &mut Dice, name: &str, depth: usize) -> Vec<u8> {
        let message = &self.messages[name];
        let mut bytes = Vec::new();
        let alternatives = message.oneof_decl.len().max(1);
        let chosen: Vec<usize> = (0..alternatives).map(|_| dice.below(message.field.len().max(1))).collect();
        for (place, field) in message.field.iter().enumerate() {
            let one_of = field.oneof_index.filter(|_| !field.proto3_optional());
            let there = match one_of.and_then(|of| usize::try_from(of).ok()) {
                // One of the group, if the dice fell on it; else whichever comes, the last one counts.
                Some(of) => chosen[of] == place || dice.below(4) == 0,
                None => dice.below(8) > 0,
            };
            let times = match (there, field.label()) {
                (false, _) => 0,
                (true, Label::Repeated) => dice.below(4),
                (true, _) => 1,
            };
            (0..times).for_each(|_| self.field(dice, field, depth, &mut bytes));
        }
        bytes
    }

    fn field(&self, dice: &mut Dice, field: &FieldDescriptorProto, depth: usize, bytes: &mut Vec<u8>) {
        let tag = u32::try_from(field.number()).expect("a field's number");
        let number = match dice.below(12) {
            0 => dice.next(),
            _ => dice.one_of(&[0, 1, 1, 2, 3, 5, 15, 1_000, 5_432, 65_536, u64::from(u32::MAX), u64::MAX]),
        };
        match field.r#type() {
            Type::Message if depth == 0 => {}
            Type::Message => delimited(bytes, tag, &self.message(dice, field.type_name(), depth - 1)),
            Type::String => delimited(bytes, tag, dice.one_of(&self.words).as_bytes()),
            Type::Bytes => delimited(bytes, tag, &number.to_le_bytes()),
            Type::Fixed32 => {
                encode_key(tag, WireType::ThirtyTwoBit, bytes);
                bytes.put_u32_le(u32::try_from(number & u64::from(u32::MAX)).expect("masked"));
            }
            Type::Fixed64 => {
                encode_key(tag, WireType::SixtyFourBit, bytes);
                bytes.put_u64_le(number);
            }
            Type::Bool => varint(bytes, tag, number & 1),
            Type::Enum => varint(bytes, tag, number & 3),
            Type::Uint32 => varint(bytes, tag, number & u64::from(u32::MAX)),
            Type::Uint64 => varint(bytes, tag, number),
            other => panic!("proto/ began to use {other:?}: make it up here"),
        }
    }
}

fn know(messages: &mut BTreeMap<String, DescriptorProto>, within: &str, message: DescriptorProto) {
    let name = format!("{within}.{}", message.name());
    message.nested_type.iter().for_each(|nested| know(messages, &name, nested.clone()));
    messages.insert(name, message);
}

fn delimited(bytes: &mut Vec<u8>, tag: u32, inside: &[u8]) {
    encode_key(tag, WireType::LengthDelimited, bytes);
    encode_varint(u64::try_from(inside.len()).expect("fits"), bytes);
    bytes.extend_from_slice(inside);
}

fn varint(bytes: &mut Vec<u8>, tag: u32, number: u64) {
    encode_key(tag, WireType::Varint, bytes);
    encode_varint(number, bytes);
}

/// Spoils a message: flips, cuts, repeats, or throws it away for noise.
pub(crate) fn spoil(dice: &mut Dice, mut bytes: Vec<u8>) -> Vec<u8> {
    for _ in 0..=dice.below(4) {
        let at = dice.below(bytes.len() + 1);
        let any = dice.next().to_le_bytes();
        match dice.below(5) {
            0 if at < bytes.len() => bytes[at] ^= 1 << (any[0] % 8),
            1 => bytes.truncate(at),
            2 => drop(bytes.splice(at..at, any)),
            3 => bytes.extend_from_within(at..),
            _ => bytes = any.iter().cycle().take(dice.below(64)).copied().collect(),
        }
    }
    bytes
}
