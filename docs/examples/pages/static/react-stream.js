import { useEffect, useRef, useState } from "react";
import { connect } from "streamy";

/**
 * What the events of a stream make of a value, and the state of the connection:
 * `const [notes, state] = useStream("/events", (notes, { text }) => [...notes, text], [])`.
 */
export function useStream(url, reduce, initial, options) {
  const [value, setValue] = useState(initial);
  const [state, setState] = useState("connecting");
  const latest = useRef();
  latest.current = { reduce, options }; // those of the newest render
  useEffect(() => {
    const message = (data) => setValue((value) => latest.current.reduce(value, data));
    const stream = connect(url, { ...latest.current.options, on: { message }, state: setState });
    return () => stream.close();
  }, [url]);
  return [value, state];
}
