// A client that nobody here wrote (node-opcua) goes through what docs/opcua.md promises, and prints what it saw as JSON.
const opcua = require("node-opcua");
const path = require("path");
const [url, what, policy, mode, certificateFile, privateKeyFile, applicationUri, userName, password] = process.argv.slice(2);
const S = (name) => "ns=2;s=" + name;
const sleep = (ms) => new Promise((done) => setTimeout(done, ms));
const out = {};

async function connected(task) {
  const client = opcua.OPCUAClient.create({
    securityPolicy: opcua.SecurityPolicy[policy],
    securityMode: opcua.MessageSecurityMode[mode],
    endpointMustExist: false,
    applicationUri,
    connectionStrategy: { maxRetry: what === "reconnect" ? -1 : 1, initialDelay: 100, maxDelay: 500 },
    requestedSessionTimeout: 20000,
    keepSessionAlive: true,
    ...(mode === "None" ? {} : {
      certificateFile, privateKeyFile,
      clientCertificateManager: new opcua.OPCUACertificateManager({ rootFolder: path.join(process.cwd(), "pki" + process.pid), automaticallyAcceptUnknownCertificate: true }),
    }),
  });
  await client.connect(url);
  const identity = userName ? { type: opcua.UserTokenType.UserName, userName, password } : { type: opcua.UserTokenType.Anonymous };
  const session = await client.createSession(identity);
  try { await task(session, client); } finally {
    await session.close();
    await client.disconnect();
  }
}

const read = async (session, name) => (await session.read({ nodeId: S(name), attributeId: opcua.AttributeIds.Value })).value.value;
const call = (session, object, method, inputArguments = []) => session.call({ objectId: S("VisionSystem." + object), methodId: S("VisionSystem." + object + "." + method), inputArguments });
const until = async (isSo) => { for (let i = 0; i < 12000; i++) { const seen = await isSo(); if (seen) return seen; await sleep(10); } throw new Error("it never came to be so"); };
const V = (dataType, value) => ({ dataType: opcua.DataType[dataType], value });

async function events(session, sink) {
  const subscription = await session.createSubscription2({ requestedPublishingInterval: 20, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 10, publishingEnabled: true });
  const fields = ["EventType", "Message", "Severity", "3:ResultId", "3:JobId", "3:ResultState", "3:PartId", "3:ResultContent", "3:InternalRecipeId"];
  const item = await subscription.monitor({ nodeId: S("VisionSystem"), attributeId: opcua.AttributeIds.EventNotifier },
    { queueSize: 100, discardOldest: true, samplingInterval: 0, filter: opcua.constructEventFilter(fields) }, opcua.TimestampsToReturn.Both);
  item.on("changed", (seen) => sink.push(seen));
  return subscription;
}

async function external(session, type, values) {
  const numbers = { MeasIdDataType: 3015, PartIdDataType: 3004, RecipeIdExternalDataType: 3002, RecipeIdInternalDataType: 3013, ProductIdDataType: 3003, ResultIdDataType: 3021 };
  const nodeId = opcua.resolveNodeId("ns=3;i=" + numbers[type]);
  return V("ExtensionObject", await session.constructExtensionObject(nodeId, values));
}

const tasks = {
  async browse(session) {
    const system = await session.browse({ nodeId: S("VisionSystem"), browseDirection: opcua.BrowseDirection.Forward, resultMask: 63 });
    out.type = system.references.find((one) => one.referenceTypeId.value === 40).browseName.toString();
    out.parts = system.references.filter((one) => one.referenceTypeId.value === 47).map((one) => one.browseName.name).sort();
    out.namespaces = (await session.readNamespaceArray());
    out.state = (await read(session, "VisionSystem.VisionStateMachine.CurrentState")).text;
    const methods = await session.browse({ nodeId: S("VisionSystem.ResultManagement"), nodeClassMask: opcua.NodeClassMask.Method, resultMask: 63 });
    out.methods = methods.references.map((one) => one.browseName.name).sort();
  },
  async job(session) {
    const seen = [];
    await events(session, seen);
    const machine = "VisionStateMachine.AutomaticModeStateMachine";
    out.auto = (await call(session, "VisionStateMachine", "SelectModeAutomatic")).outputArguments[0].value;
    await until(async () => (await read(session, "VisionSystem." + machine + ".CurrentState")).text === "Ready");
    const part = await external(session, "PartIdDataType", { id: "part 4711" });
    const started = await call(session, machine, "StartSingleJob", [
      await external(session, "MeasIdDataType", { id: "" }), part, await external(session, "RecipeIdExternalDataType", { id: "" }),
      await external(session, "ProductIdDataType", { id: "" }), { dataType: opcua.DataType.Variant, arrayType: opcua.VariantArrayType.Array, value: [] }]);
    out.started = { status: started.statusCode.name, error: started.outputArguments[1].value, job: started.outputArguments[0].value.id };
    const event = await until(() => seen.find((one) => one[3].value));
    out.event = { message: event[1].value.text, severity: event[2].value, job: event[4].value.id, state: event[5].value, part: event[6].value.id,
      content: event[7].value.slice(0, 7).map((one) => one.value), regions: Array.from(event[7].value[7].value), document: JSON.parse(event[7].value[8].value) };
    const last = await read(session, "VisionSystem.ResultManagement.Results.LastResult");
    out.last = { id: last.resultId.id, sameAsEvent: last.resultId.id === event[3].value.id, part: last.partId.id, simulated: last.isSimulated, recipe: last.internalRecipeId.id };
    const got = await call(session, "ResultManagement", "GetResultById", [await external(session, "ResultIdDataType", { id: last.resultId.id }), V("Int32", 0)]);
    out.got = { status: got.statusCode.name, error: got.outputArguments[2].value, same: got.outputArguments[1].value.resultId.id === last.resultId.id, handle: got.outputArguments[0].value };
    const components = await call(session, "ResultManagement", "GetResultComponentsById", [await external(session, "ResultIdDataType", { id: last.resultId.id }), V("Int32", 0)]);
    out.components = { status: components.statusCode.name, count: components.outputArguments.length, verdict: components.outputArguments[15].value[0].value };
    out.released = (await call(session, "ResultManagement", "ReleaseResultHandle", [V("UInt32", out.got.handle)])).outputArguments[0].value;
    out.simulation = (await call(session, machine, "SimulationMode", [V("Boolean", true), V("Int32", 0), V("String", "")])).statusCode.name;
  },
  async recipe(session) {
    const seen = [];
    await events(session, seen);
    const prepare = async (id) => {
      const done = await call(session, "RecipeManagement", "PrepareRecipe", [await external(session, "RecipeIdExternalDataType", { id }), await external(session, "RecipeIdInternalDataType", { id: "" })]);
      return { recipe: done.outputArguments[0].value.id, done: done.outputArguments[1].value, error: done.outputArguments[2].value };
    };
    out.two = await prepare("2");
    await until(() => seen.find((one) => one[1].value.text === "job 2 runs"));
    out.job = await read(session, "Status.CurrentJob");
    out.again = await prepare("2");
    out.nine = await prepare("9");
    await until(() => seen.find((one) => one[1].value.text.startsWith("job 9 does not run")));
    out.still = await read(session, "Status.CurrentJob");
    out.word = await prepare("a word");
  },
  async variables(session) {
    const write = async (levels) => (await session.write(Object.entries(levels).map(([name, value]) => ({
      nodeId: S("Control." + name), attributeId: opcua.AttributeIds.Value, value: { value: { dataType: typeof value === "boolean" ? opcua.DataType.Boolean : opcua.DataType.UInt16, value } } })))).map((one) => one.name);
    out.enabled = await write({ TriggerEnable: true, BufferResultsEnable: true });
    await until(() => read(session, "Status.TriggerReady"));
    await write({ Trigger: true });
    await until(() => read(session, "Status.ResultsValid"));
    out.result = { code: await read(session, "Status.ResultCode"), inspection: await read(session, "Status.InspectionId"), id: await read(session, "Status.ResultId"),
      score: await read(session, "Status.Score"), sequence: await read(session, "Status.Sequence") };
    await write({ Trigger: false, ResultsAck: true });
    out.after = await read(session, "Status.ResultCode");
    await write({ ResultsAck: false });
    out.status = (await session.write({ nodeId: S("Status.ResultCode"), attributeId: opcua.AttributeIds.Value, value: { value: V("UInt16", 1) } })).name;
    out.range = await write({ Job: 1000 }).catch((error) => error.message);
  },
  async refused(session) {
    out.write = await session.write({ nodeId: S("Control.Trigger"), attributeId: opcua.AttributeIds.Value, value: { value: V("Boolean", true) } }).then((one) => one.name, (error) => error.message);
    out.halt = (await call(session, "VisionStateMachine", "Halt", [V("Int32", 0), V("String", "")])).statusCode.name;
    out.read = await read(session, "Status.TriggerReady");
  },
  async reconnect(session) {
    const seen = [];
    const subscription = await session.createSubscription2({ requestedPublishingInterval: 50, requestedLifetimeCount: 1000, requestedMaxKeepAliveCount: 5, publishingEnabled: true });
    const item = await subscription.monitor({ nodeId: S("Status.Heartbeat"), attributeId: opcua.AttributeIds.Value }, { queueSize: 10, samplingInterval: 0 }, opcua.TimestampsToReturn.Both);
    item.on("changed", (value) => { seen.push(value.value.value); console.log("beat"); });
    await until(() => seen.length > 2);
    console.log("ready");
    await new Promise((done) => process.stdin.once("data", done));
    const before = seen.length;
    await until(() => seen.length > before + 2);
    out.more = true;
  },
};

connected(tasks[what]).then(() => { console.log(JSON.stringify(out)); process.exit(0); }, (error) => { console.log(JSON.stringify({ ...out, failed: error.message })); process.exit(0); });
