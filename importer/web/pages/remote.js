/* The form that imports from a web server or a bucket. */

import * as api from "../api.js";
import { Destination } from "../components/destination.js";
import { Field } from "../components/fields.js";
import { Found } from "../components/found.js";
import { html, useEffect, useState } from "../lib.js";
import { checksum, isChecksum, isName, nameOfUrl } from "../names.js";
import { go } from "../router.js";

/** Milliseconds after the last key before the address is asked what it has. */
const PAUSE = 700;
const BLANK = { url: "", name: "", checksum: "", endpoint: "", region: "", accessKeyId: "", secretAccessKey: "", anonymous: false };

export function Remote({ model, t }) {
  const [form, set] = useState(BLANK);
  const [named, nameIt] = useState(false);
  const [state, tell] = useState({ busy: false, error: null });
  const change = (key) => (value) => set((before) => ({ ...before, [key]: value, ...named_(key, value, named) }));
  const source = sourceOf(form);
  const found = useLook(model, source);
  const plan = usePlan(model, source, found);
  const wrong = faults(model, t, form);
  const submit = async (event) => {
    event.preventDefault();
    tell({ busy: true, error: null });
    try {
      const image = await model.session.ask(api.create(requestOf(model, form, source)));
      model.images.add(image);
      model.announce(t("import.begun", { name: image.name }));
      go("images");
    } catch (error) {
      tell({ busy: false, error });
    }
  };
  const refused = found?.error?.side === "image";
  const whole = source && isName(form.name) && !wrong.name && !wrong.checksum && !refused;
  return html`<form class="import" onSubmit=${submit} novalidate>
    <div class="column"><section class="card sheet">
      <${Field} label=${t("import.url")} type="url" value=${form.url} change=${change("url")} help=${t("import.urlHelp")}
        wrong=${wrong.url} placeholder="https://example.org/debian-12.qcow2" />
      ${form.url.startsWith("s3:") && html`<${Bucket} t=${t} form=${form} change=${change} />`}
      ${source && html`<${Found} t=${t} found=${found} remote />`}
      ${plan && html`<p class="found travel">${t("import.planned", { wire: t(`wire.${plan.wire}`) })} <span class="muted">${plan.why}</span></p>`}
      <div class="pair">
        <${Field} label=${t("images.col.name")} value=${form.name} maxlength="63" wrong=${wrong.name}
          change=${(text) => { nameIt(true); change("name")(text); }} />
        <${Field} label=${t("import.checksum")} value=${form.checksum} placeholder="sha256:…" wrong=${wrong.checksum} change=${change("checksum")} />
      </div>
    </section></div>
    <div class="column">
      <${Destination} model=${model} t=${t} needs=${{ size: found?.info?.size ?? null, virtualSize: found?.info?.virtualSize ?? null }} />
      ${state.error && html`<p class="refusal" role="alert">${state.error.message}</p>`}
      <div class="send"><button class="primary large" disabled=${!whole || state.busy}>${t("do.import")}</button></div>
    </div>
  </form>`;
}

/** The address names the image until somebody else does. */
function named_(key, value, named) {
  return key === "url" && !named ? { name: nameOfUrl(value) } : {};
}

function Bucket({ t, form, change }) {
  const text = (key, type = "text") => html`<${Field} label=${t(`import.s3.${key}`)} type=${type} value=${form[key]} change=${change(key)} />`;
  return html`<fieldset class="bucket"><legend>${t("import.s3")}</legend>
    <p class="help">${t("import.s3Help")}</p>
    <div class="pair">${text("endpoint")}${text("region")}${text("accessKeyId")}${text("secretAccessKey", "password")}</div>
    <label class="tick"><input type="checkbox" checked=${form.anonymous} onChange=${(event) => change("anonymous")(event.currentTarget.checked)} />
      ${t("import.s3.anonymous")}</label>
  </fieldset>`;
}

/** What the form means as a source of docs/api.md; null while the address is none. */
function sourceOf({ url, endpoint, region, accessKeyId, secretAccessKey, anonymous }) {
  const address = url.trim();
  if (/^https?:\/\/[^/\s]+\S*$/i.test(address)) return { type: "url", url: address };
  if (!/^s3:\/\/[^/\s]+\/\S/.test(address)) return null;
  const given = Object.entries({ endpoint, region, accessKeyId, secretAccessKey }).filter(([, text]) => text);
  return { type: "s3", url: address, ...Object.fromEntries(given), ...(anonymous ? { anonymous } : {}) };
}

function faults(model, t, form) {
  const namespace = model.draft.wishes.namespace.value;
  const fits = !form.name || isName(form.name);
  const taken = fits && form.name && model.images.find(namespace, form.name);
  return {
    url: form.url.length > 8 && !sourceOf(form) ? t("import.urlRule") : null,
    name: !fits ? t("name.rule") : taken ? t("name.taken", { name: form.name }) : null,
    checksum: form.checksum && !isChecksum(checksum(form.checksum)) && !/^https?:/.test(form.checksum) ? t("checksum.rule") : null,
  };
}

function requestOf(model, form, source) {
  const { wishes } = model.draft;
  const spec = {
    source,
    storageClass: model.draft.storageClass.peek()?.name ?? null,
    format: wishes.format.peek() || null,
    checksum: checksum(form.checksum) || null,
  };
  return { name: form.name, namespace: wishes.namespace.peek(), spec };
}

/** Ask what is at the address, once nobody types any more: {info} or {error}, null until then. */
function useLook(model, source) {
  const [found, tell] = useState(null);
  const asked = JSON.stringify(source);
  useEffect(() => {
    tell(null);
    if (!source) return undefined;
    return later((signal) => model.session.ask(api.inspect(source, signal)), (info) => tell({ info }), (error) => tell({ error }));
  }, [asked]);
  return found;
}

/** How the image would travel; where nobody can tell, nothing is said. */
function usePlan(model, source, found) {
  const [plan, tell] = useState(null);
  const storageClass = model.draft.storageClass.value?.name;
  const format = model.draft.wishes.format.value || null;
  const asked = JSON.stringify([source, storageClass, format, Boolean(found?.info)]);
  useEffect(() => {
    tell(null);
    if (!found?.info) return undefined;
    return later((signal) => api.plan({ source, storageClass, format }, signal), (report) => tell(report.plan), () => {});
  }, [asked]);
  return plan;
}

/** Do `act` after a pause unless something else is wanted by then; returns how to want something else. */
function later(act, done, refused) {
  const stop = new AbortController();
  const timer = setTimeout(() => {
    act(stop.signal).then(
      (value) => stop.signal.aborted || done(value),
      (error) => stop.signal.aborted || refused(error),
    );
  }, PAUSE);
  return () => {
    clearTimeout(timer);
    stop.abort();
  };
}
