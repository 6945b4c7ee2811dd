//! x
#![allow(dead_code, clippy::all, missing_docs)]
mod support;
use std::time::Instant;
use host_logical::*;
use support::*;
#[tokio::test(flavor = "multi_thread", worker_threads = 2)]
async fn bench() {
    let host = host();
    for e in std::fs::read_dir("/tmp/target-guestbuild/guests").unwrap() {
        let p = e.unwrap().path();
        if p.extension().is_none_or(|e| e != "wasm") { continue }
        let name = p.file_stem().unwrap().to_str().unwrap().to_owned();
        let t = Instant::now();
        let r = host.register(EngineKind::Secrets, &name, "1", std::fs::read(&p).unwrap());
        if let Err(e) = r { println!("{name}: {e}"); continue }
        let e = match host.engine(EngineKind::Secrets, &name).await { Ok(e) => e.unwrap(), Err(e) => { println!("{name}: {e}"); continue } };
        println!("{name}: loaded {:?}", t.elapsed());
        let t = Instant::now();
        match e.describe(&Options::new()).await { Ok(d) => println!("{name}: described {} paths {:?}", d.paths.len(), t.elapsed()), Err(e) => println!("{name}: {e:?}") }
        let g = Grants::default();
        let mut r = request(Operation::List, "notes/");
        let mut v = vec![];
        for _ in 0..50 {
            let t = Instant::now();
            let res = g.handle(&e, { r = request(Operation::List, "notes/"); r }).await;
            v.push(t.elapsed());
            if v.len() == 1 { println!("{name}: {res:?}"); }
        }
        v.sort(); println!("{name}: call p50 {:?}", v[25]);
    }
}
