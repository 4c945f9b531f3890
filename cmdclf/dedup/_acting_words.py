"""The words by which the scanner of behaviour texts knows what varies freely and what acts.

Written from public documentation of the systems' tools. A word stands here in lower case, letters and digits only.
"""

from __future__ import annotations

import numpy as np
import numpy.typing as npt

__all__ = [
    "BLOB_WORD",
    "CLASS_WORD",
    "COUNTER_WORD",
    "DOCUMENT",
    "EXECUTABLE",
    "HASHES",
    "HOME",
    "HOST_FLAG",
    "KEPT_PROFILE",
    "KINDS",
    "NUMBER_FLAG",
    "NUMBER_WORD",
    "PLAIN_WORD",
    "PROGRAM",
    "TEMPORARY",
    "VERSION_WORD",
    "word_hash",
]

PROGRAM, DOCUMENT, TEMPORARY, HOME, KEPT_PROFILE, NUMBER_WORD, HOST_FLAG, BLOB_WORD, CLASS_WORD, VERSION_WORD = (
    1 << bit for bit in range(10)
)
PLAIN_WORD, COUNTER_WORD, NUMBER_FLAG, EXECUTABLE = (1 << bit for bit in range(10, 14))

_WORDS: dict[int, str] = {
    # Extensions of files that run, or that make others run: their names say what is done.
    PROGRAM: """exe dll ps1 psm1 psd1 bat cmd vbs vbe js jse mjs hta py pyw pyz sh bash zsh ksh jar war msi msp
        msix appx sys scr com cpl ocx inf xsl sct wsf wsh wsc pl rb so dylib app pkg dmg deb rpm apk lnk
        url reg php lua ko command workflow scpt applescript plist service timer socket conf cfg ini
        rules pol chm one iso img vhd vhdx java go rs ts tsx jsx swift kt scala""",
    # Extensions of files that are worked on: which report, log or archive it is changes from day to day.
    DOCUMENT: """txt log csv tsv xlsx xls docx doc pdf ppt pptx rtf odt ods md zip gz tgz bz2 xz tar zst 7z rar
        cab bak old dmp dump jpg jpeg png gif bmp svg ico webp mp4 mov mkv avi mp3 wav flac tmp temp out
        err etl trace prof lock pid sock cache part crdownload download partial o obj lo c cc cpp cxx h
        hpp hxx class d rsp resp pch pcm cs m mm html htm eml msg ics ttf woff parquet arrow npy pkl
        data dat evtx pcap pcapng blob snap bundle map diff patch rej orig swp wal journal jsonl ndjson
        sqlite db mdf ldf bacpac trn res tlog cmdline rdb aof""",
    TEMPORARY: """temp tmp ccmcache envtemp envtmp tmpdir shm runnertemp agenttempdirectory folders inetcache
        crashpad crashdumps""",
    HOME: "users home",
    KEPT_PROFILE: "public default all shared alluser systemprofile",
    # After these, a number is a setting and no counter.
    NUMBER_WORD: """dscl sysadminctl chmod umask ufw iptables ip6tables nft firewallcmd netsh newnetfirewallrule
        setnetfirewallrule semanage sysctl setenforce chage reg regexe sc scexe bcdedit powercfg fsutil
        setx auditpol wevtutil setitemproperty newitemproperty setmppreference addmppreference
        setservice gsettings defaults pmset systemsetup setfacl mknod tc ethtool nvram csrutil localport
        remoteport dport sport registry regadd setvalue attrib icacls setsebool sebool ulimit prlimit
        renice ionice setpriority echo printf mkdir dword setregistry socketfilterfw setdnsserver setdns
        regdword setpolicy swappiness""",
    EXECUTABLE: "exe",
    # The number behind these flags is a setting.
    NUMBER_FLAG: "m mode perm chmod umask value propertyvalue d start starttype priority",
    HOST_FLAG: """computername cn node server host hostname target computer vm vmname remote remotehost dc
        domaincontroller servername targethost peer connect cluster rhost dest destination sqlinstance
        serverinstance""",
    # After these, an encoded word that could not be decoded may be anything.
    BLOB_WORD: "enc encodedcommand encoded ec encodedcommands e base64 frombase64string b64decode decode",
    CLASS_WORD: """clsid msiexec msiexecexe shell processid triggerschedule progid appid classid iid typelib
        provider providerguid""",
    VERSION_WORD: "version ver publickeytoken fileversion productversion culture",
    COUNTER_WORD: """id pid handle port index idx num number count n seq instance slot channel session tid ppid uid
        gid fd display screen rank worker node shard attempt retry retries threads jobs size offset
        timeout delay limit clientid processid sessionid level verbosity auth startupevent
        interruptevent ngenprocess pipe event""",
    # Letters and digits, and still words.
    PLAIN_WORD: """x64 x86 i386 i686 amd64 arm64 aarch64 win32 win64 sysnative system32 syswow64 sha1 sha256 sha384
        sha512 md5 utf8 utf16 base64 log4j log4j2 ipv4 ipv6 ec2 s3 k8s h264 mp3 mp4 oauth2 http2 rsa2048
        aes128 aes256 ntlmv2 python2 python3 pip3 lib64 bin32 ext4 ntfs3g md4 crc32 rc4 w32time mshtml
        x509 pkcs12 pkcs7 pkcs8 ed25519 rundll32 regsvr32 odbcad32 cscript32 mmc32 regedt32 comctl32
        kernel32 shell32 user32 advapi32 netapi32 wow64 wow6432node ws2 mpeg4 v1 v2 v3 v4""",
}


def word_hash(word: str) -> int:
    """FNV-1a (64 bits) of the word's bytes, as the scanner counts it."""
    value = 0xCBF29CE484222325
    for byte in word.encode():
        value = ((value ^ byte) * 0x100000001B3) & 0xFFFFFFFFFFFFFFFF
    return value


def _tables() -> tuple[npt.NDArray[np.uint64], npt.NDArray[np.int64]]:
    kinds: dict[int, int] = {}
    for kind, words in _WORDS.items():
        for word in words.split():
            value = word_hash(word)
            kinds[value] = kinds.get(value, 0) | kind
    hashes = sorted(kinds)
    return np.array(hashes, np.uint64), np.array([kinds[h] for h in hashes], np.int64)


#: The sorted hashes of all words, and the kinds of each as bits.
HASHES, KINDS = _tables()
