// [include] and merging.
#include <fcntl.h>
#include <gmock/gmock.h>
#include <sys/stat.h>
#include <unistd.h>

#include "loading.h"

namespace postern::config {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string said(const Folder& folder, const std::string& main = "main.toml") {
  return load(folder.path(main), surroundings()).diagnostics.text();
}
Settings settings(const Folder& folder) {
  const Loaded result = load(folder.path("main.toml"), surroundings());
  EXPECT_TRUE(result.settings) << result.diagnostics.text();
  return result.settings.value_or(Settings());
}

TEST(Include, IsRelativeToTheIncludingFileAndNests) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"a/one.toml\"\n");
  folder.write("a/one.toml", "include.files = [\"b/two.toml\"]\nserver.max-connections = 11\n");
  folder.write("a/b/two.toml", "server.max-connections-per-ip = 7\n");
  const Settings got = settings(folder);
  EXPECT_EQ(got.shared.maxConnections, 11U);
  EXPECT_EQ(got.shared.maxConnectionsPerIp, 7U);
  EXPECT_EQ(got.files, (std::vector<std::string>{folder.path("main.toml"), folder.path("a/one.toml"),
                                                 folder.path("a/b/two.toml")}));
}

TEST(Include, TakesGlobsInOrderAndMacros) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"%{BASE}%/*.toml\"\nmacros.base = \"conf.d\"\n");
  folder.write("conf.d/2.toml", "[[directory.memory.principals]]\nname = \"second\"\nsecret = \"x\"\n");
  folder.write("conf.d/1.toml", "[[directory.memory.principals]]\nname = \"first\"\nsecret = \"x\"\n");
  folder.write("conf.d/3.txt", "not TOML");
  folder.write("conf.d/4.toml/in.txt", "a folder");
  const Settings got = settings(folder);
  ASSERT_EQ(got.accounts.size(), 2U);
  EXPECT_EQ(got.accounts[0].name, "first");
  EXPECT_EQ(got.accounts[1].name, "second");
}

TEST(Include, AGlobMayMatchNothingAndANameMayNot) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"conf.d/*.toml\"\n");
  EXPECT_THAT(said(folder), Not(HasSubstr("error")));
  folder.write("main.toml", server + "include.files = \"more.toml\"\n");
  EXPECT_THAT(said(folder), HasSubstr("main.toml:2: error: include.files = \"more.toml\": there is no such file"));
}

TEST(Include, CyclesAreErrors) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"b.toml\"\n");
  folder.write("b.toml", "include.files = \"./main.toml\"\n");
  EXPECT_THAT(said(folder), HasSubstr("b.toml:1: error: include.files = \"./main.toml\": includes are cyclic"));
  folder.write("main.toml", server + "include.files = \"main.toml\"\n");
  EXPECT_THAT(said(folder), HasSubstr("cyclic"));
}

TEST(Include, TheSameFileTwiceIsOneError) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = [\"b.toml\", \"b.toml\"]\n");
  folder.write("b.toml", "server.max-connections = 1\n");
  const std::string text = said(folder);
  EXPECT_THAT(text, HasSubstr("second time"));
  EXPECT_THAT(text, Not(HasSubstr("set twice")));
}

TEST(Include, MergesTablesOfTheSameName) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"b.toml\"\n[server.listener.a]\nprotocol = \"smtp\"\n");
  folder.write("b.toml", "[server.listener.a]\nbind = \"127.0.0.1:0\"\n[server.socket]\nbacklog = 5\n");
  const Settings got = settings(folder);
  ASSERT_EQ(got.listeners.size(), 1U);
  EXPECT_EQ(got.listeners[0].listener.socket.backlog, 5);
}

TEST(Include, AKeySetTwiceNamesBothPlaces) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"b.toml\"\nserver.max-connections = 1\n");
  folder.write("b.toml", "# second\n[server]\nmax-connections = 2\n");
  EXPECT_THAT(said(folder), HasSubstr(folder.path("b.toml") +
                                      ":3: error: server.max-connections = \"2\": set twice; the first stands at " +
                                      folder.path("main.toml") + ":3"));
}

TEST(Include, AnInlineListIsNotAppendedTo) {
  const Folder folder;
  folder.write("main.toml",
               server + "include.files = \"b.toml\"\nserver.tls.sni = [{subject = \"a.b\", certificate = \"c\"}]\n");
  folder.write("b.toml", "[server]\ntls.sni = [{subject = \"d.e\", certificate = \"c\"}]\n");
  EXPECT_THAT(said(folder), HasSubstr("set twice"));
}

TEST(Include, MacrosOfAnIncludedFileArePassedOverWithAWarning) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"b.toml\"\n");
  folder.write("b.toml", "[macros]\na = \"1\"\n");
  EXPECT_THAT(said(folder), HasSubstr("b.toml:1: warning: macros"));
}

TEST(Include, EachFileTellsItsFirstSyntaxErrorAndTheOthersEverything) {
  const Folder folder;
  folder.write("main.toml", "include.files = [\"b.toml\", \"c.toml\"]\nserver.shutdown-timeout = 3\n");
  folder.write("b.toml", "a = \nb = \n");
  folder.write("c.toml", "c = [\n");
  const std::string text = said(folder);
  EXPECT_THAT(text, HasSubstr("main.toml:2: error: server.shutdown-timeout"));
  EXPECT_THAT(text, HasSubstr("b.toml:1: error: not valid TOML"));
  EXPECT_THAT(text, HasSubstr("c.toml:1: error: not valid TOML"));
  EXPECT_EQ(std::count(text.begin(), text.end(), '\n'), 3)
      << text;  // nothing is called missing: it may stand in b.toml
}

TEST(Include, AFileThatCannotBeReadIsNamed) {
  EXPECT_EQ(load("/nonexistent/postern.toml", surroundings()).diagnostics.text(),
            "/nonexistent/postern.toml:1: error: cannot be read: No such file or directory; check the path and who may "
            "read it\n");
}

TEST(Include, ATextInMemoryTouchesNoFile) {
  const std::string text =
      "include.files = \"/etc/passwd\"\nserver.hostname = \"%{file:/etc/hostname}%\"\n"
      "certificate.a.cert = \"file:///etc/passwd\"\ncertificate.a.private-key = \"file:///etc/passwd\"\n";
  const Loaded result = loadText(text, "memory", surroundings());
  EXPECT_FALSE(result.settings);
  EXPECT_THAT(result.diagnostics.text(), HasSubstr("memory:1: error"));
  EXPECT_THAT(result.diagnostics.text(), HasSubstr("memory:2: error"));
  EXPECT_THAT(result.diagnostics.text(), HasSubstr("memory:3: error"));
  EXPECT_THAT(result.diagnostics.text(), HasSubstr("memory:4: error"));
}

TEST(Include, DiagnosticsComeInTheOrderOfFilesAndLines) {
  const Folder folder;
  folder.write("main.toml", "zzz = 1\nserver.hostname = \"a b\"\ninclude.files = [\"b.toml\"]\naaa = 1\n");
  folder.write("b.toml", "yyy = 1\nbbb = 1\n");
  std::vector<std::string> places;
  for (const Diagnostic& d : load(folder.path("main.toml"), surroundings()).diagnostics.all) {
    if (d.key != "server.listener")
      places.push_back(std::filesystem::path(d.place.file).filename().string() + std::to_string(d.place.line));
  }
  EXPECT_EQ(places, (std::vector<std::string>{"main.toml1", "main.toml2", "main.toml4", "b.toml1", "b.toml2"}));
}

TEST(Diagnostics, AreOneLineEachWhateverAFileHolds) {
  Diagnostic diagnostic{Severity::Error, {"f", 3}, "a.b", "x\ny\x1b", "bad", "mend"};
  EXPECT_EQ(diagnostic.text(), "f:3: error: a.b = \"x\\ny\\x1b\": bad; mend");
  diagnostic.value = "(hidden)";
  EXPECT_EQ(diagnostic.text(), "f:3: error: a.b = (hidden): bad; mend");
}

// --- what is no file

TEST(Files, AFifoIsAnErrorInsteadOfWaitingForItsWriter) {
  const Folder folder;
  const std::string fifo = folder.path("fifo");
  ASSERT_EQ(mkfifo(fifo.c_str(), 0600), 0);
  EXPECT_THAT(said(folder, "fifo"), HasSubstr("cannot be read: it is a FIFO, and no file"));
  const std::string pair =
      "certificate.own.cert = \"file://" + fifo + "\"\ncertificate.own.private-key = \"file://" + fifo + "\"\n";
  const std::string account = "[[directory.memory.principals]]\nname = \"a\"\nsecret = \"file://" + fifo + "\"\n";
  const std::string clients = "server.tls.client-auth = \"request\"\nserver.tls.client-ca = \"" + fifo + "\"\n";
  const std::string eab = provider + "acme.le.eab.key-id = \"k\"\nacme.le.eab.hmac-key = \"file://" + fifo + "\"\n";
  for (const std::string& text : {"include.files = \"fifo\"\n" + smtp, "include.files = \"fif*\"\n" + smtp,
                                  smtp + "storage.maildir = \"%{file:" + fifo + "}%\"\n", smtp + pair, smtp + account,
                                  smtpAcme + clients, smtp + eab, smtpAcme + "acme.le.ca-file = \"" + fifo + "\"\n"}) {
    folder.write("main.toml", text);
    EXPECT_THAT(said(folder), HasSubstr("cannot be read: it is a FIFO, and no file")) << text;
  }
}

TEST(Files, WhatACallerHandsOverAsAPipeIsRead) {
  int pipe[2];
  ASSERT_EQ(pipe2(pipe, O_CLOEXEC), 0);
  ASSERT_GT(write(pipe[1], server.data(), server.size()), 0);
  close(pipe[1]);
  const Loaded got = load("/dev/fd/" + std::to_string(pipe[0]), surroundings());
  close(pipe[0]);
  EXPECT_TRUE(got.settings) << got.diagnostics.text();
}

TEST(Files, EachPathIsToldBeforeItIsTouched) {
  const Folder folder;
  folder.write("main.toml", server + "include.files = \"more.toml\"\nstorage.maildir = \"%{file:/nowhere/at-all}%\"\n");
  folder.write("more.toml", "");
  std::vector<std::string> told;
  Surroundings around = surroundings();
  around.touches = [&](const std::string& path) {
    if (told.empty() || told.back() != path) told.push_back(path);
  };
  load(folder.path("main.toml"), around);
  EXPECT_EQ(told, (std::vector<std::string>{folder.path("main.toml"), "/nowhere/at-all", folder.path("more.toml")}));
}

}  // namespace
}  // namespace postern::config
