import { onScopeDispose, ref } from "vue";
import { connect } from "streamy";

/** The state of the connection; `hear` gets the data of each event. Closed with the component. */
export function useStream(url, hear, options) {
  const state = ref("connecting");
  const stream = connect(url, {
    ...options,
    on: { message: hear },
    state: (now) => (state.value = now),
  });
  onScopeDispose(() => stream.close());
  return state;
}
