// Two devices of one user keep a list in step by kinto.js, offline first, in the user's default bucket.
//
//     NODE_PATH=... node two_devices.cjs URL AUTHORIZATION
//
// Prints what each step returned, as one JSON document.

require("fake-indexeddb/auto");
// Node 18 has no global one. The bundle needs no further packages, of which some are modules that Node 18 cannot require.
globalThis.crypto ??= require("node:crypto").webcrypto;
const bundle = require("kinto/dist/kinto.js");
const Kinto = bundle.default ?? bundle;

const [remote, authorization] = process.argv.slice(2);

function device(name) {
  const kinto = new Kinto({ remote, headers: { Authorization: authorization }, bucket: "default", adapterOptions: { dbName: name } });
  return kinto.collection("tasks");
}

function summary(result) {
  const { ok, created, updated, deleted, published, conflicts, resolved, errors } = result;
  const titles = (records) => records.map((record) => (record.new || record).title).sort();
  return {
    ok,
    created: titles(created),
    updated: titles(updated),
    deleted: deleted.length,
    published: published.length,
    conflicts: conflicts.map(({ type, local, remote }) => ({ type, local: local.title, remote: remote.title })),
    resolved: resolved.length,
    errors: errors.length,
  };
}

async function titles(tasks) {
  const { data } = await tasks.list();
  return data.map((record) => record.title).sort();
}

async function main() {
  const phone = device("phone");
  const laptop = device("laptop");
  const steps = {};

  // Offline: nothing is there yet, neither bucket nor collection.
  for (const title of ["tea", "milk", "bread"]) {
    await phone.create({ title });
  }
  steps.phonePublishes = summary(await phone.sync());
  steps.laptopReceives = summary(await laptop.sync());

  // Both change one record while they are apart.
  const record = (await phone.list()).data.find(({ title }) => title === "milk");
  await phone.update({ ...record, title: "oat milk" });
  await laptop.update({ ...(await laptop.get(record.id)).data, title: "soy milk" });
  steps.phoneIsFirst = summary(await phone.sync());
  const conflicting = await laptop.sync();
  steps.laptopConflicts = summary(conflicting);
  const [conflict] = conflicting.conflicts;
  await laptop.resolve(conflict, { ...conflict.remote, title: "oat and soy milk" });
  steps.laptopResolves = summary(await laptop.sync());
  steps.phoneFollows = summary(await phone.sync());

  // One deletes, the other one has changed something else meanwhile.
  const gone = (await phone.list()).data.find(({ title }) => title === "bread");
  await phone.delete(gone.id);
  await laptop.create({ title: "salt" });
  steps.phoneDeletes = summary(await phone.sync());
  steps.laptopDeletes = summary(await laptop.sync({ strategy: Kinto.syncStrategy.SERVER_WINS }));
  steps.phoneAgain = summary(await phone.sync());
  steps.nothingNew = summary(await laptop.sync());

  steps.lists = [await titles(phone), await titles(laptop)];
  console.log(JSON.stringify(steps));
}

main().catch((error) => {
  console.error(error);
  process.exit(1);
});
