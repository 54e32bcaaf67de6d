// Holds objects of others (cert-manager, KEDA, the Prometheus operator, the Gateway API) against the schemas of their definitions. Reads JSON
// lines {name, object}, writes a line for each that is refused. An object of a kind that is not listed here is refused as well. Is to be evaluated in the
// folder that has the modules.
import { createInterface } from "node:readline";

const kinds = {
  "monitoring.coreos.com/v1 PodMonitor": "prometheus-operator",
  "monitoring.coreos.com/v1 PrometheusRule": "prometheus-operator",
  "cert-manager.io/v1 Certificate": "cert-manager",
  "keda.sh/v1alpha1 ScaledObject": "keda",
  "keda.sh/v1alpha1 TriggerAuthentication": "keda",
  "gateway.networking.k8s.io/v1 HTTPRoute": "gateway-api",
  "gateway.networking.k8s.io/v1 GRPCRoute": "gateway-api",
};
const models = new Map();

async function model(kind, { apiVersion, kind: name }) {
  if (!models.has(kind)) {
    models.set(kind, (await import(`@kubernetes-models/${kinds[kind]}/${apiVersion}/${name}`))[name]);
  }
  return models.get(kind);
}

for await (const line of createInterface({ input: process.stdin })) {
  const { name, object } = JSON.parse(line);
  const kind = `${object.apiVersion} ${object.kind}`;
  try {
    if (!(kind in kinds)) throw new Error(`nobody here knows ${kind}`);
    new (await model(kind, object))(object).validate();
  } catch (error) {
    console.log(`${name}: ${error.message.replaceAll("\n", " ")}`);
  }
}
