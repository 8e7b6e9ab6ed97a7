export * from "preact";
export * from "preact/hooks";
export { batch, computed, effect, signal, useComputed, useSignal, useSignalEffect } from "@preact/signals";
import { h } from "preact";
import htm from "htm";

/** Make elements of a template: html`<p class=${name}>${text}</p>`. */
export const html = htm.bind(h);
