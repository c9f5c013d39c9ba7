// The parser, against WHATWG HTML section 9.2.6.
import assert from "node:assert/strict";
import { test } from "node:test";
import { parser } from "../../../streamy_core/browser/streamy.js";

const encoder = new TextEncoder();

/** All frames, their streams where they are told, and reconnection times of a stream in these chunks. */
function parse(...chunks) {
  const frames = [];
  const times = [];
  const feed = parser(
    (name, id, data, stream) => frames.push([name, id, data, ...(stream === undefined ? [] : [stream])]),
    (time) => times.push(time),
  );
  for (const chunk of chunks) feed(typeof chunk === "string" ? encoder.encode(chunk) : chunk);
  return { frames, times };
}

const cut = (text) => [...encoder.encode(text)].map((byte) => new Uint8Array([byte]));

for (const [name, end] of [["LF", "\n"], ["CR", "\r"], ["CR LF", "\r\n"]]) {
  const text = ["id: 1", "event: n", "data: a", "data: b", "", "data: é😀", "", ""].join(end);
  const expected = [["n", "1", "a\nb"], ["message", "1", "é😀"]];
  test(`lines end with ${name}`, () => assert.deepEqual(parse(text).frames, expected));
  test(`lines end with ${name}, cut at each byte`, () => assert.deepEqual(parse(...cut(text)).frames, expected));
}

test("one leading byte order mark is dropped, and no other", () => {
  assert.deepEqual(parse("\ufeffdata: a\n\n\ufeffdata: b\n\n").frames, [["message", undefined, "a"], ["message", undefined, undefined]]);
  assert.deepEqual(parse(...cut("\ufeffdata: a\n\n")).frames, [["message", undefined, "a"]]);
});

test("an id without data is told by itself", () => {
  assert.deepEqual(parse("id: 7\n\n").frames, [["message", "7", undefined]]);
});

test("the stream is that of one event only", () => {
  const text = "id: 1\nstream: user:7\ndata: a\n\ndata: b\n\nstream\ndata: c\n\n";
  const expected = [["message", "1", "a", "user:7"], ["message", "1", "b"], ["message", "1", "c", ""]];
  assert.deepEqual(parse(text).frames, expected);
});

test("an id with NUL is ignored", () => {
  assert.deepEqual(parse("id: 1\n\nid: 2\0\ndata: a\n\n").frames.at(-1), ["message", "1", "a"]);
});

test("an empty id is an id", () => {
  assert.deepEqual(parse("id: 1\n\nid\ndata: a\n\n").frames.at(-1), ["message", "", "a"]);
});

test("retry is digits only", () => {
  const lines = ["1", "1x", "-1", "+1", "1.5", "1e3", "", " 7", "٣", "007"];
  assert.deepEqual(parse(lines.map((value) => `retry:${value}\n`).join("") + "\n").times, [1, 7, 7]);
});

test("one space after the colon is dropped, and no other", () => {
  assert.deepEqual(parse("data:  a \ndata:b\ndata\ndata:\n\n").frames, [["message", undefined, " a \nb\n\n"]]);
});

test("an event of empty data is one", () => {
  assert.deepEqual(parse("data\n\n").frames, [["message", undefined, ""]]);
});

test("comments and unknown fields say nothing, and names don't outlast a frame", () => {
  const { frames } = parse(": x\nnope: 1\nDATA: x\n data: x\nevent: n\n\ndata: a\n\n");
  assert.deepEqual(frames, [["n", undefined, undefined], ["message", undefined, "a"]]);
});

test("what no blank line follows is not told", () => assert.deepEqual(parse("data: a\n\ndata: b\n").frames.length, 1));

test("no other character ends a line", () => {
  const odd = "a\u2028b\u2029c\u0085d\x0be\x0cf";
  assert.deepEqual(parse(`data: ${odd}\n\n`).frames, [["message", undefined, odd]]);
});

test("what is no UTF-8 is replaced", () => {
  const bytes = new Uint8Array([...encoder.encode("data: a"), 0xff, 10, 10]);
  assert.deepEqual(parse(bytes).frames, [["message", undefined, "a\ufffd"]]);
});
