// What Arize's TypeScript client can do with an emulator.
const arize = require("@arizeai/ax-client");

const given = JSON.parse(process.env.GIVEN);
const client = arize.createClient({ apiKey: given.key, baseUrl: given.url });
const { space, project_id: project } = given;
const made = {};
console.warn = () => {};

function assert(condition, what) {
  if (!condition) throw new Error(what);
}

function config(template) {
  return {
    name: "tone",
    template,
    includeExplanations: true,
    useFunctionCallingIfAvailable: false,
    classificationChoices: { bad: 0, good: 1 },
    llmConfig: {
      aiIntegrationId: given.integration_id,
      modelName: "gpt-4o",
      invocationParameters: {},
      providerParameters: {},
    },
  };
}

const capabilities = {
  async projects() {
    const listed = await arize.listProjects({ client, space });
    assert(listed.data.some((each) => each.id === project), "the project is missing");
  },
  async evaluators() {
    const one = { client, name: "TS", space, commitMessage: "one", templateConfig: config("{input}") };
    made.evaluator = (await arize.createTemplateEvaluator(one)).id;
    const two = { commitMessage: "two", templateConfig: config("{input} {output}") };
    await arize.createTemplateEvaluatorVersion({ client, evaluator: made.evaluator, ...two });
    const versions = await arize.listEvaluatorVersions({ client, evaluator: made.evaluator });
    assert(versions.data.length === 2, "two versions expected");
  },
  async tasks() {
    const evaluators = [{ evaluatorId: made.evaluator, columnMappings: given.mappings }];
    const about = { name: "TS", type: "TEMPLATE_EVALUATION", project, evaluators, queryFilter: given.filter };
    made.task = (await arize.createEvaluationTask({ client, ...about })).id;
    assert((await arize.getTask({ client, task: made.task })).name === "TS", "the name is wrong");
  },
  async runs() {
    const dataStartTime = new Date(Date.now() - 3 * 86_400_000);
    const started = await arize.triggerTaskRun({ client, task: made.task, dataStartTime, dataEndTime: new Date() });
    const run = await arize.waitForTaskRun({ client, runId: started.id, pollInterval: 200, timeout: 600_000 });
    assert(run.numSuccesses > 5, JSON.stringify(run));
  },
  async spans() {
    const filter = "eval.tone.label IS NOT NULL";
    const listed = await arize.listSpans({ client, project, filter, limit: 500 });
    assert(listed.data.length > 5, "spans are missing");
    made.span = listed.data[0].context.spanId;
  },
  async annotations() {
    const annotations = [{ recordId: made.span, values: [{ name: "review", label: "Wrong" }] }];
    await arize.annotateSpans({ client, project, annotations });
  },
  async integrations() {
    const listed = await arize.listAiIntegrations({ client });
    assert(listed.data.some((each) => each.id === given.integration_id), "the integration is missing");
  },
  async queues() {
    const config = await arize.createFreeformAnnotationConfig({ client, name: "TS", space });
    const people = { annotationConfigIds: [config.id], annotatorEmails: ["ada@example.com"] };
    const queue = await arize.createAnnotationQueue({ client, name: "TS", spaceId: given.space_id, ...people });
    const [endTime, startTime] = [0, 6].map((days) => new Date(Date.now() - days * 86_400_000).toISOString());
    const source = { recordType: "SPAN", projectId: project, startTime, endTime, spanIds: [made.span] };
    for (const _ of [1, 2]) {
      await arize.addAnnotationQueueRecords({ client, annotationQueue: queue.id, recordSources: [source] });
    }
    const records = await arize.listAnnotationQueueRecords({ client, annotationQueue: queue.id });
    assert(records.data.length === 1, "one record expected");
  },
  async datasets() {
    const dataset = await arize.createDataset({ client, space, name: "TS", examples: [{ question: "one" }] });
    await arize.appendExamples({ client, dataset: dataset.id, examples: [{ question: "two" }] });
    const listed = await arize.listDatasetExamples({ client, dataset: dataset.id });
    assert(listed.data.length === 2, "two examples expected");
  },
  async others() {
    for (const list of [arize.listExperiments, arize.listPrompts]) {
      const status = await list({ client }).then(() => 200, (error) => error.statusCode);
      assert(status === 501, `status ${status}`);
    }
    return "501";
  },
};

(async () => {
  for (const [name, capability] of Object.entries(capabilities)) {
    let outcome;
    try {
      outcome = (await capability()) ?? "yes";
    } catch (error) {
      outcome = `no: ${error}`;
    }
    console.log(JSON.stringify([name, outcome]));
  }
})();
