#include "base/log.h"

#include <gtest/gtest.h>
#include <sys/stat.h>

#include <filesystem>
#include <string>
#include <thread>
#include <vector>

#include "base/atomic_file.h"
#include "base/json.h"
#include "base/text.h"
#include "tests/base/temporary_folder.h"

namespace postern {
namespace {

using test::TemporaryFolder;

const Time noon = *parseRfc3339("2026-03-01T12:00:00.123Z");

std::string text(const Fields& fields) {
  return formatLogLine(LogFormat::Text, noon, LogLevel::Info, "acme.order.valid", fields);
}

std::string fileOf(const std::filesystem::path& path) {
  return readFile(path).value_or("(no file)");
}

TEST(LogLine, IsTimeLevelEventAndFields) {
  EXPECT_EQ(text({{"names", "a,b"}, {"provider", "x"}}),
            "2026-03-01T12:00:00.123Z info  acme.order.valid names=a,b provider=x");
  EXPECT_EQ(formatLogLine(LogFormat::Text, *parseRfc3339("2026-03-01T12:00:00Z"), LogLevel::Error, "e", {}),
            "2026-03-01T12:00:00.000Z error e");
}

TEST(LogLine, QuotesValuesThatWouldBeReadWrongly) {
  EXPECT_EQ(text({{"a", "two words"}}).substr(48), "a=\"two words\"");
  EXPECT_EQ(text({{"a", ""}}).substr(48), "a=\"\"");
  EXPECT_EQ(text({{"a", "x=1"}}).substr(48), "a=\"x=1\"");
  EXPECT_EQ(text({{"a", "say \"hi\""}}).substr(48), R"(a="say \"hi\"")");
  EXPECT_EQ(text({{"a", R"(back\slash)"}}).substr(48), R"(a="back\\slash")");
}

TEST(LogLine, WritesNumbersAndTruth) {
  EXPECT_EQ(text({{"port", 443}, {"ok", true}, {"forced", false}, {"n", std::uint64_t{1} << 63}}).substr(48),
            "port=443 ok=true forced=false n=9223372036854775808");
}

TEST(LogLine, NeverLetsAValueBeginALine) {
  for (const LogFormat format : {LogFormat::Text, LogFormat::Json}) {
    for (int byte = 0; byte < 256; ++byte) {
      const std::string value = "x" + std::string(1, static_cast<char>(byte)) + "2026-03-01T12:00:00.123Z info forged";
      const std::string line = formatLogLine(format, noon, LogLevel::Warn, "e", {{"value", value}});
      for (char c : line) {
        EXPECT_GE(static_cast<unsigned char>(c), 0x20) << byte;
        if (format == LogFormat::Text) {
          EXPECT_NE(c, '\x7f') << byte;
        }
      }
    }
  }
}

TEST(LogLine, EscapesControlsThatATerminalWouldObey) {
  EXPECT_EQ(text({{"a", "\x1b[2J\r\n\t\x7f"}}).substr(48), R"(a="\x1b[2J\r\n\t\x7f")");
  EXPECT_EQ(text({{"a",
                   "\xc2\x9b"
                   "2J"}})
                .substr(48),
            R"(a="\xc2\x9b2J")");  // CSI as a C1 control
}

TEST(LogLine, KeepsUtf8AndEscapesWhatIsNone) {
  EXPECT_EQ(text({{"a", "müller €𝄞"}}).substr(48), "a=\"müller €𝄞\"");
  EXPECT_EQ(text({{"a", "\xff\xc0\xaf\xed\xa0\x80\xe2\x82"}}).substr(48), R"(a="\xff\xc0\xaf\xed\xa0\x80\xe2\x82")");
}

TEST(LogLine, IsOneObjectInJson) {
  const std::string line = formatLogLine(LogFormat::Json, noon, LogLevel::Warn, "tls.handshake.failed",
                                         {{"peer", "192.0.2.1"}, {"error", "a \"quoted\"\nline\xff"}});
  const auto json = Json::parse(line);
  ASSERT_TRUE(json) << line;
  EXPECT_EQ((*json)["time"].string(), "2026-03-01T12:00:00.123Z");
  EXPECT_EQ((*json)["level"].string(), "warn");
  EXPECT_EQ((*json)["event"].string(), "tls.handshake.failed");
  EXPECT_EQ((*json)["peer"].string(), "192.0.2.1");
  EXPECT_EQ((*json)["error"].string(), "a \"quoted\"\nline\xef\xbf\xbd");
}

TEST(Log, LeavesOutWhatIsBelowItsLevel) {
  const TemporaryFolder folder;
  Log log({LogLevel::Warn, LogFormat::Text, folder / "log"});
  log.info("quiet");
  log.warn("loud");
  EXPECT_FALSE(log.wants(LogLevel::Info));
  EXPECT_TRUE(log.wants(LogLevel::Error));
  const auto lines = split(fileOf(folder / "log"), '\n');
  ASSERT_EQ(lines.size(), 2U);
  EXPECT_NE(lines[0].find("warn  loud"), std::string::npos);
}

TEST(Log, CreatesItsFileAndFolderWithTheirModes) {
  const TemporaryFolder folder;
  const mode_t before = umask(022);
  const Log log({LogLevel::Info, LogFormat::Text, folder / "a/b/log"});
  umask(before);
  struct stat found {};
  ASSERT_EQ(stat((folder / "a/b/log").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0640U);
  ASSERT_EQ(stat((folder / "a/b").c_str(), &found), 0);
  EXPECT_EQ(found.st_mode & 07777U, 0750U);
}

TEST(Log, StaysAsItWasWhenTheNewFileCannotBeOpened) {
  const TemporaryFolder folder;
  Log log({LogLevel::Info, LogFormat::Text, folder / "log"});
  const std::string problem = log.configure({LogLevel::Error, LogFormat::Json, "/dev/null/log"});
  EXPECT_NE(problem.find("/dev/null"), std::string::npos) << problem;
  log.info("still.here");
  EXPECT_NE(fileOf(folder / "log").find("info  still.here\n"), std::string::npos);
}

TEST(Log, GoesOverToAnotherFileLevelAndFormat) {
  const TemporaryFolder folder;
  Log log({LogLevel::Info, LogFormat::Text, folder / "one"});
  log.info("first");
  EXPECT_EQ(log.configure({LogLevel::Debug, LogFormat::Json, folder / "two"}), "");
  log.debug("second");
  EXPECT_EQ(fileOf(folder / "one").find("second"), std::string::npos);
  const auto line = Json::parse(trimmed(fileOf(folder / "two")));
  ASSERT_TRUE(line);
  EXPECT_EQ((*line)["event"].string(), "second");
}

TEST(Log, OpensItsFileAgainAfterRotation) {
  const TemporaryFolder folder;
  Log log({LogLevel::Info, LogFormat::Text, folder / "log"});
  log.info("before");
  std::filesystem::rename(folder / "log", folder / "log.1");
  log.info("between");
  EXPECT_EQ(log.reopen(), "");
  log.info("after");
  EXPECT_NE(fileOf(folder / "log.1").find("between"), std::string::npos);
  EXPECT_NE(fileOf(folder / "log").find("after"), std::string::npos);
  EXPECT_EQ(fileOf(folder / "log").find("between"), std::string::npos);
}

TEST(Log, AppendsToAnExistingFile) {
  const TemporaryFolder folder;
  for (const char* event : {"one", "two"}) {
    Log log({LogLevel::Info, LogFormat::Text, folder / "log"});
    log.info(event);
  }
  EXPECT_EQ(split(fileOf(folder / "log"), '\n').size(), 3U);
}

TEST(Log, WritesLinesOfManyThreadsWhole) {
  const TemporaryFolder folder;
  Log log({LogLevel::Info, LogFormat::Json, folder / "log"});
  constexpr int threads = 8;
  constexpr int each = 200;
  {
    std::vector<std::jthread> writers;
    for (int t = 0; t < threads; ++t) {
      writers.emplace_back([&log] {
        for (int i = 0; i < each; ++i) log.info("event", {{"filler", std::string(300, 'x')}, {"i", i}});
      });
    }
    for (int i = 0; i < 20; ++i) EXPECT_EQ(log.reopen(), "");
  }
  auto lines = split(fileOf(folder / "log"), '\n');
  ASSERT_EQ(lines.back(), "");
  lines.pop_back();
  EXPECT_EQ(lines.size(), std::size_t{threads * each});
  for (const auto& line : lines) ASSERT_TRUE(Json::parse(line)) << line;
}

}  // namespace
}  // namespace postern
