#include "server/status.h"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>

#include "base/text.h"
#include "server/names.h"
#include "server/version.h"

namespace postern::server {

namespace {

Json timeOrNull(const std::optional<Time>& time) {
  return time ? Json(rfc3339(*time)) : Json();
}

Json json(const acme::LastError& error) {
  return Json::Object{{"type", error.type},
                      {"detail", error.detail},
                      {"name", error.name.empty() ? Json() : Json(error.name)},
                      {"at", rfc3339(error.at)}};
}

template <class T>
Json jsonOrNull(const std::optional<T>& value) {
  return value ? json(*value) : Json();
}

Json tlsJson(const RunningListener& running) {
  Json tls = Json::Object{{"mode", nameOf(running.config.listener.tls)},
                          {"decided_by", nullptr},
                          {"wanted", nullptr},
                          {"source", nullptr},
                          {"hostnames", Json::strings(running.config.listener.hostnames)},
                          {"serial", nullptr},
                          {"not_after", nullptr},
                          {"served", Json::Array{}}};
  if (!running.context) return tls;
  const auto plan = running.context->plan();
  const auto& own = plan->own;
  const tls::Served served = running.context->served();
  tls["decided_by"] = running.config.decidedBy;
  tls["wanted"] = own.empty() ? std::string("self-signed") : own.front().source;
  if (!served.certificate) return tls;
  tls["source"] = served.source;
  tls["serial"] = served.certificate->serial();
  tls["not_after"] = rfc3339(served.certificate->notAfter());
  Json::Array all;
  for (const auto& certificate : served.all()) {
    all.push_back(Json::Object{{"key_type", certificate->keyTypeName()},
                               {"serial", certificate->serial()},
                               {"not_after", rfc3339(certificate->notAfter())},
                               {"source", served.source}});
  }
  tls["served"] = all;
  return tls;
}

Json json(const RunningListener& running) {
  const auto counts = running.listener->counts();
  std::vector<std::string> bound;
  for (const auto& address : running.bound) bound.push_back(address.text());
  return Json::Object{
      {"id", running.config.listener.id},
      {"protocol", nameOf(running.config.listener.protocol)},
      {"bind", Json::strings(bound)},
      {"tls", tlsJson(running)},
      {"connections", Json::Object{{"open", counts.open}, {"accepted", counts.accepted}, {"refused", counts.refused}}},
      {"handshakes", Json::Object{{"completed", counts.handshakesCompleted},
                                  {"resumed", counts.handshakesResumed},
                                  {"failed", counts.handshakesFailed}}}};
}

Json json(const acme::CertificateStatus& status) {
  const auto& certificate = status.certificate;
  return Json::Object{{"names", Json::strings(status.names)},
                      {"provider", status.provider},
                      {"key_type", status.keyType},
                      {"state", std::string(acme::nameOf(status.state))},
                      {"serial", certificate ? Json(certificate->serial()) : Json()},
                      {"issuer", certificate ? Json(certificate->issuer()) : Json()},
                      {"not_before", certificate ? Json(rfc3339(certificate->notBefore())) : Json()},
                      {"not_after", certificate ? Json(rfc3339(certificate->notAfter())) : Json()},
                      {"renew_at", timeOrNull(status.renewAt)},
                      {"renew_reason", status.renewReason ? Json(acme::nameOf(*status.renewReason)) : Json()},
                      {"next_attempt", timeOrNull(status.nextAttempt)},
                      {"attempts", status.attempts},
                      {"last_error", jsonOrNull(status.lastError)}};
}

Json json(const acme::ProviderStatus& status, const std::map<std::string, acme::LastError>& challengeErrors) {
  auto challenge = challengeErrors.find(status.name);
  Json::Array ledger;
  for (const auto& limit : status.ledger) {
    ledger.push_back(
        Json::Object{{"limit", limit.limit}, {"left", limit.left}, {"refill_at", timeOrNull(limit.refillAt)}});
  }
  return Json::Object{
      {"name", status.name},
      {"directory", status.directory},
      {"account", status.account.empty() ? Json() : Json(status.account)},
      {"state", nameOf(status.state)},
      {"last_error", challenge != challengeErrors.end() ? json(challenge->second) : jsonOrNull(status.lastError)},
      {"ledger", ledger}};
}

// A table whose columns are as wide as their widest cell; the first row is the heading.
std::string table(const std::vector<std::vector<std::string>>& rows) {
  std::vector<std::size_t> widths(rows.front().size(), 0);
  for (const auto& row : rows) {
    for (std::size_t column = 0; column < row.size(); ++column) {
      widths[column] = std::max(widths[column], row[column].size());
    }
  }
  std::string text;
  for (const auto& row : rows) {
    std::string line;
    for (std::size_t column = 0; column < row.size(); ++column) {
      line += fmt::format("{:<{}}  ", row[column], widths[column]);
    }
    text += line.substr(0, line.find_last_not_of(' ') + 1) + "\n";
  }
  return text;
}

std::string errorWords(const Json& error) {
  if (error.isNull()) return "-";
  const std::string name = error["name"].string();
  return error["type"].string() + ": " + error["detail"].string() + (name.empty() ? "" : " (" + name + ")");
}

std::string escapedLabel(std::string_view value) {
  std::string result;
  for (char c : value) {
    if (c == '\\' || c == '"') result += '\\';
    if (c == '\n') {
      result += "\\n";
    } else {
      result += c;
    }
  }
  return result;
}

void metric(std::string& text, std::string_view name, std::string_view type, std::string_view help) {
  text += fmt::format("# HELP {0} {1}\n# TYPE {0} {2}\n", name, help, type);
}

std::string certificateLabels(const acme::CertificateStatus& one) {
  return fmt::format("names=\"{}\",provider=\"{}\",key_type=\"{}\"", escapedLabel(joined(one.names)),
                     escapedLabel(one.provider), escapedLabel(one.keyType));
}

long long seconds(Time time) {
  return std::chrono::duration_cast<std::chrono::seconds>(time.time_since_epoch()).count();
}

}  // namespace

Json statusJson(const View& view) {
  Json::Array listeners, certificates, providers;
  for (const auto& running : *view.listeners) listeners.push_back(json(running));
  for (const auto& certificate : view.acme.certificates) certificates.push_back(json(certificate));
  for (const auto& provider : view.acme.providers) providers.push_back(json(provider, view.challengeErrors));
  Json last;
  if (view.lastReload) {
    last = Json::Object{{"at", rfc3339(view.lastReload->at)},
                        {"ok", view.lastReload->ok},
                        {"error", view.lastReload->ok ? Json() : Json(view.lastReload->error)}};
  }
  return Json::Object{
      {"version", version},
      {"pid", static_cast<std::int64_t>(::getpid())},
      {"uptime_seconds",
       static_cast<std::int64_t>(std::chrono::duration_cast<std::chrono::seconds>(view.now - view.started).count())},
      {"config", Json::Object{{"path", view.configPath}, {"loaded_at", rfc3339(view.loadedAt)}, {"last_reload", last}}},
      {"listeners", listeners},
      {"certificates", certificates},
      {"providers", providers}};
}

std::string statusText(const Json& status) {
  std::string text =
      fmt::format("postern {} (pid {}), up {}, configuration {} of {}\n", status["version"].string(),
                  status["pid"].integer(), inWords(std::chrono::seconds(status["uptime_seconds"].integer())),
                  status["config"]["path"].string(), status["config"]["loaded_at"].string());
  const Json& last = status["config"]["last_reload"];
  if (!last.isNull()) {
    text += last["ok"].boolean() ? "last reload " + last["at"].string() + ": applied\n"
                                 : "last reload " + last["at"].string() + ": refused\n" + last["error"].string() + "\n";
  }
  std::vector<std::vector<std::string>> rows{
      {"LISTENER", "PROTOCOL", "TLS", "ADDRESS", "SERVES", "KEY", "SERIAL", "NOT AFTER", "OPEN", "ACCEPTED"}};
  for (const auto& one : status["listeners"].array()) {
    const Json& tls = one["tls"];
    std::string keyTypes;
    for (const auto& served : tls["served"].array())
      keyTypes += (keyTypes.empty() ? "" : ",") + served["key_type"].string();
    rows.push_back({one["id"].string(), one["protocol"].string(), tls["mode"].string(),
                    joined(one["bind"].stringList()), tls["source"].string("-"), keyTypes.empty() ? "-" : keyTypes,
                    tls["serial"].string("-"), tls["not_after"].string("-"),
                    std::to_string(one["connections"]["open"].integer()),
                    std::to_string(one["connections"]["accepted"].integer())});
  }
  text += "\n" + table(rows);
  rows = {{"CERTIFICATE", "PROVIDER", "KEY", "STATE", "NOT AFTER", "RENEWS", "NEXT ATTEMPT", "LAST ERROR"}};
  for (const auto& one : status["certificates"].array()) {
    rows.push_back({joined(one["names"].stringList()), one["provider"].string(), one["key_type"].string(),
                    one["state"].string(), one["not_after"].string("-"), one["renew_at"].string("-"),
                    one["next_attempt"].string("-"), errorWords(one["last_error"])});
  }
  if (rows.size() > 1) text += "\n" + table(rows);
  rows = {{"PROVIDER", "STATE", "DIRECTORY", "ACCOUNT", "LAST ERROR"}};
  for (const auto& one : status["providers"].array()) {
    rows.push_back({one["name"].string(), one["state"].string(), one["directory"].string(), one["account"].string("-"),
                    errorWords(one["last_error"])});
  }
  if (rows.size() > 1) text += "\n" + table(rows);
  rows = {{"LIMIT", "PROVIDER", "LEFT", "ONE MORE AT"}};
  for (const auto& one : status["providers"].array()) {
    for (const auto& limit : one["ledger"].array()) {
      rows.push_back({limit["limit"].string(), one["name"].string(), std::to_string(limit["left"].integer()),
                      limit["refill_at"].string("-")});
    }
  }
  if (rows.size() > 1) text += "\n" + table(rows);
  return text;
}

std::string metricsText(const View& view) {
  std::string text;
  metric(text, "postern_info", "gauge", "The running version.");
  text += fmt::format("postern_info{{version=\"{}\"}} 1\n", version);
  metric(text, "postern_start_time_seconds", "gauge", "When the process started, Unix time.");
  text += fmt::format("postern_start_time_seconds {}\n", seconds(view.started));

  struct PerListener {
    const char *name, *type, *help;
    std::uint64_t listeners::Counts::*member;
  };
  static constexpr PerListener perListener[] = {
      {"postern_connections_open", "gauge", "Connections open now.", &listeners::Counts::open},
      {"postern_connections_accepted_total", "counter", "Connections accepted.", &listeners::Counts::accepted},
      {"postern_connections_refused_total", "counter", "Connections refused for a limit.", &listeners::Counts::refused},
      {"postern_handshakes_completed_total", "counter", "TLS handshakes completed, resumed ones included.",
       &listeners::Counts::handshakesCompleted},
      {"postern_handshakes_resumed_total", "counter", "TLS handshakes that resumed a session.",
       &listeners::Counts::handshakesResumed},
      {"postern_handshakes_failed_total", "counter", "TLS handshakes that failed.",
       &listeners::Counts::handshakesFailed},
      {"postern_handshakes_refused_total", "counter", "TLS handshakes refused for a limit before they began.",
       &listeners::Counts::handshakesRefused},
  };
  for (const auto& each : perListener) {
    metric(text, each.name, each.type, each.help);
    for (const auto& running : *view.listeners) {
      text += fmt::format("{}{{listener=\"{}\"}} {}\n", each.name, escapedLabel(running.config.listener.id),
                          running.listener->counts().*each.member);
    }
  }
  metric(text, "postern_served_certificate_not_after_seconds", "gauge",
         "Expiry of the certificate a listener serves now, Unix time.");
  for (const auto& running : *view.listeners) {
    if (!running.context) continue;
    const auto served = running.context->served();
    for (const auto& certificate : served.all()) {
      text += fmt::format(
          "postern_served_certificate_not_after_seconds{{listener=\"{}\",source=\"{}\",key_type=\"{}\",serial=\"{}\"}} "
          "{}\n",
          escapedLabel(running.config.listener.id), escapedLabel(served.source), certificate->keyTypeName(),
          certificate->serial(), seconds(certificate->notAfter()));
    }
  }
  metric(text, "postern_certificate_not_after_seconds", "gauge",
         "Expiry of the certificate in service for a set of names, Unix time.");
  for (const auto& one : view.acme.certificates) {
    if (!one.certificate) continue;
    text += fmt::format("postern_certificate_not_after_seconds{{{}}} {}\n", certificateLabels(one),
                        seconds(one.certificate->notAfter()));
  }
  metric(text, "postern_certificate_failures", "gauge", "Failed attempts in a row for a certificate.");
  for (const auto& one : view.acme.certificates) {
    text += fmt::format("postern_certificate_failures{{{},state=\"{}\"}} {}\n", certificateLabels(one),
                        acme::nameOf(one.state), one.attempts);
  }
  metric(text, "postern_probe_failures_total", "counter",
         "Looks at the own listeners that did not see the certificate that should be served.");
  text += fmt::format("postern_probe_failures_total {}\n", view.probeFailures);
  return text;
}

}  // namespace postern::server
